"""Benchmarks of the figures in `docs/performance.md`: real stacks, ratios within one run."""
