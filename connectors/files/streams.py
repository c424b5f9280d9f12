"""Bytes of a file as the parsers want them: UTF-8, addressed by offset, with bounded memory.

A further encoding or compression is one more subclass of `Decoded`; readers only see `read_at`.
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Protocol

from connectors.base import SourceError

_STEP = 1 << 20


class ByteStream(Protocol):
    """`size` is None when it is only known at the end. `seekable` streams can be read by several partitions."""

    size: int | None
    seekable: bool

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""

    def release(self, offset: int) -> None:
        """Promises that nothing before `offset` will be asked for again."""

    def close(self) -> None: ...


class Plain:
    """A UTF-8 file read in place."""

    seekable = True

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.size: int | None = os.fstat(self._file).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """See ByteStream."""
        block = os.pread(self._file, length, offset)
        while len(block) < length:  # one pread gives at most 2 GB, and less when a signal comes
            more = os.pread(self._file, length - len(block), offset + len(block))
            if not more:
                break
            block += more
        return block

    def release(self, offset: int) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


class Decoded:
    """A file in another encoding, transcoded to UTF-8 on the way; offsets count UTF-8 bytes, read front to back."""

    seekable = False
    size: int | None = None

    def __init__(self, path: Path, encoding: str) -> None:
        self._encoding = encoding
        self._file = path.open("rb")
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._window = bytearray()
        self._base = 0
        self._ended = False

    def read_at(self, offset: int, length: int) -> bytes:
        """See ByteStream; `offset` may not lie before what was released."""
        while not self._ended and self._base + len(self._window) < offset + length:
            if self._base + len(self._window) <= offset:
                self.release(offset)
            self._pull()
        start = offset - self._base
        return bytes(self._window[start : start + length])

    def release(self, offset: int) -> None:
        """Forgets what lies before `offset`."""
        drop = min(offset - self._base, len(self._window))
        if drop > 0:
            del self._window[:drop]
            self._base += drop

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _pull(self) -> None:
        at = self._file.tell()
        raw = self._file.read(_STEP)
        self._ended = not raw
        try:
            text = self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            row = self._window.count(b"\n")
            raise SourceError(
                "bad_encoding",
                f"The file is not {self._encoding}: {error.reason} near byte {at + error.start}"
                + (f", row {row}." if self._base == 0 else "."),
                "Set options.encoding to the file's encoding.",
            ) from None
        self._window += text.encode()


def utf8_name(encoding: str) -> str | None:
    """The codec's name, or None when the file is UTF-8 (or ASCII) and can be read in place; raises SourceError."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise SourceError(
            "unknown_encoding",
            f"Unknown encoding '{encoding}'.",
            "Use a name such as utf-8, utf-16, latin-1 or cp1252.",
        ) from None
    return None if name in ("utf-8", "utf-8-sig", "ascii") else name


def open_stream(path: Path, encoding: str = "utf-8") -> ByteStream:
    """Opens a file as UTF-8 bytes."""
    codec = utf8_name(encoding)
    return Plain(path) if codec is None else Decoded(path, codec)
