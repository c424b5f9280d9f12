"""Parts of `headrace.pipeline`, which re-exports what is public."""
