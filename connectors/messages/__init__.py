"""Shared by connectors of streams: payloads decoded into rows, metadata as columns, tombstones as deletes."""
