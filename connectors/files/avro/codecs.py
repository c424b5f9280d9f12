"""Decompresses the blocks of an Avro file, up to the size limit of a block."""

from __future__ import annotations

import binascii
import bz2
import lzma
import zlib
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.files.avro.container import BLOCK_LIMIT

CODECS = ("null", "deflate", "snappy", "zstandard", "bzip2", "xz")
_XZ_MEMORY = 256 << 20


def unpacked(codec: str, data: bytes, at: int) -> bytes:
    """The decompressed data of a block. `at` is the offset of the block, for messages. Raises SourceError: `bad_avro`,
    `too_large`, `unsupported_type`."""
    if codec == "null":
        return data
    if codec not in CODECS:
        raise SourceError(
            "unsupported_type", f"Its blocks are compressed with '{codec}'.", f"Use one of {', '.join(CODECS)}."
        )
    try:
        return _snappy(data, at) if codec == "snappy" else _stream(codec, data, at)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, IndexError) as error:
        raise _unsound(at, str(error)) from None


def _stream(codec: str, data: bytes, at: int) -> bytes:
    if codec == "deflate":
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        out, whole = inflater.decompress(data, BLOCK_LIMIT), inflater.eof
    else:
        other: Any
        if codec == "zstandard":
            from headrace.connectors.files.compression.zstandard import zstd

            other = zstd.ZstdDecompressor()
            try:
                out = other.decompress(data, BLOCK_LIMIT)
            except zstd.ZstdError as error:
                raise ValueError(error) from None
        else:
            other = bz2.BZ2Decompressor() if codec == "bzip2" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            out = other.decompress(data, BLOCK_LIMIT)
        whole = other.eof
    if len(out) >= BLOCK_LIMIT:
        raise _too_large(at)
    if not whole:
        raise _unsound(at, "it is not whole")
    return bytes(out)


def _snappy(data: bytes, at: int) -> bytes:
    import pyarrow as pa

    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    if size >= BLOCK_LIMIT:
        raise _too_large(at)
    try:
        out: bytes = pa.decompress(data[:-4], size, codec="snappy", asbytes=True)
    except pa.ArrowException as error:
        raise ValueError(error) from None
    if binascii.crc32(out) != int.from_bytes(data[-4:], "big"):
        raise _unsound(at, "its checksum differs")
    return out


def _unsound(at: int, why: str) -> SourceError:
    return SourceError(
        "bad_avro", f"It is damaged: the block at byte {at} cannot be unpacked: {why}.", "Send it again."
    )


def _too_large(at: int) -> SourceError:
    message = f"The block at byte {at} unpacks to more than {BLOCK_LIMIT >> 20} MB."
    return SourceError("too_large", message, "Write smaller blocks.")
