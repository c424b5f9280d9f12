"""Row lineage over REST: the run that loaded a row."""
