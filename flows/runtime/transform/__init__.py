"""Running compiled steps on batches: segments, stages, row counts, rejected cells."""
