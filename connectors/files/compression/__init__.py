"""Compressed files: recognised by suffix or options, decompressed with a limit on the output."""

from headrace.connectors.files.compression.kinds import COMPRESSIONS, compression_of, inner_suffix
from headrace.connectors.files.compression.reading import open_compressed

__all__ = ["COMPRESSIONS", "compression_of", "inner_suffix", "open_compressed"]
