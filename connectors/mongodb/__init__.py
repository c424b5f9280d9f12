"""MongoDB as a source: collections, read in raw batches whose columns are decoded as a whole."""
