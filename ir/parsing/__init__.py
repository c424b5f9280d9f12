"""From decoded JSON to a PipelineIR, or to a list of problems."""
