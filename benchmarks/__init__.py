"""What the promises in `docs/performance.md` are measured with: real stacks, ratios within one run."""
