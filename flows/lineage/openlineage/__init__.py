"""OpenLineage events of runs: their datasets and column lineage. `emitter` is the entry point; it imports the client
library only in runs that have a recipient."""
