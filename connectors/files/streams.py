"""The bytes of a file for the parsers: UTF-8, addressed by offset, with bounded memory.

Readers only use `read_at`, whatever the file's encoding and compression.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from headrace.connectors.errors import SourceError
from headrace.connectors.files.compression.kinds import detected
from headrace.connectors.files.compression.reading import Content, open_compressed
from headrace.connectors.files.delimited.encoding import decoder, utf8_name
from headrace.connectors.files.delimited.text_filters import TextFilter

_STEP = 1 << 20


class ByteStream(Protocol):
    """`size` is None if it is only known at the end. `seekable` streams can be read by several partitions.
    `transcoded`: the file itself is not UTF-8."""

    size: int | None
    seekable: bool
    transcoded: bool

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""

    def release(self, offset: int) -> None:
        """Promises that nothing before `offset` will be read again."""

    def close(self) -> None: ...


class Plain:
    """A UTF-8 file read in place."""

    seekable = True
    transcoded = False

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.size: int | None = os.fstat(self._file).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        block = os.pread(self._file, length, offset)
        while len(block) < length:  # one pread returns at most 2 GB, and less if a signal interrupts it
            more = os.pread(self._file, length - len(block), offset + len(block))
            if not more:
                break
            block += more
        return block

    def release(self, offset: int) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


class Forward:
    """A file that must be read front to back: compressed, or transcoded to UTF-8, with lone surrogates for invalid
    bytes. Offsets count bytes of the result."""

    seekable = False
    size: int | None = None

    def __init__(self, content: Content, encoding: str | None, text_filters: Sequence[TextFilter] = ()) -> None:
        """`encoding` None: the content is UTF-8. The decoded text goes through the `text_filters` in order."""
        self._content, self._cleanings = content, text_filters
        self.transcoded = encoding is not None
        self._decoder = None if encoding is None else decoder(encoding)
        self._window = bytearray()
        self._base = 0
        self._ended = False

    def read_at(self, offset: int, length: int) -> bytes:
        """Like `ByteStream.read_at`; `offset` must not be before what was released."""
        while not self._ended and self._base + len(self._window) < offset + length:
            if self._base + len(self._window) < offset:  # skips ahead: earlier bytes are not needed
                self.release(offset)
            self._pull()
        start = offset - self._base
        return bytes(self._window[start : start + length])

    def release(self, offset: int) -> None:
        """Drops the bytes before `offset`."""
        drop = min(offset - self._base, len(self._window))
        if drop > 0:
            del self._window[:drop]
            self._base += drop

    def close(self) -> None:
        """Closes the file."""
        self._content.close()

    def _pull(self) -> None:
        raw = self._content.read(_STEP)
        self._ended = not raw
        if self._decoder is not None:
            raw = self._decoder.decode(raw, final=self._ended).encode("utf-8", "surrogatepass")
        for each in self._cleanings:
            raw = each.feed(raw, final=self._ended)
        self._window += raw


def open_stream(
    path: Path, encoding: str = "utf-8", compression: str | None = None, text_filters: Sequence[TextFilter] = ()
) -> Plain | Forward:
    """Opens a file as UTF-8 bytes. Raises SourceError."""
    codec = utf8_name(encoding)
    if compression is not None:
        return Forward(open_compressed(path, compression), codec, text_filters)
    if codec is not None:
        return Forward(path.open("rb"), codec, text_filters)
    stream = Plain(path)
    if (found := detected(stream.read_at(0, 8))) is not None:
        stream.close()
        hint = f"Set options.compression to {found}, or give the file the suffix of it."
        raise SourceError("bad_compression", f"It is compressed: it begins as {found} data do.", hint)
    if text_filters:
        stream.close()
        return Forward(path.open("rb"), None, text_filters)
    return stream
