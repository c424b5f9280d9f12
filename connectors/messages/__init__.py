"""What connectors of streams share: payloads decoded into rows, metadata as columns, tombstones as deletes."""
