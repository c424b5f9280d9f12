"""Decompresses a file front to back, with bounded memory and a limit on the output."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from zipfile import BadZipFile, ZipFile, ZipInfo

from headrace.connectors.errors import SourceError


@dataclass(frozen=True, slots=True)
class ExpansionLimits:
    """`size` in bytes, and `ratio` to the compressed bytes, which is checked once more than `free` bytes came out."""

    size: int = 256 << 30
    ratio: int = 300
    free: int = 128 << 20

    def check(self, out: int, taken: int) -> None:
        """Raises SourceError(`too_large`) if `out` bytes from `taken` compressed bytes exceed a limit."""
        if out > self.size:
            raise SourceError(
                "too_large",
                f"It holds more than {self.size >> 20:,} MB when it is unpacked.",
                "Split it into several files.",
            )
        if out > self.free and out > self.ratio * max(taken, 1):
            raise SourceError(
                "too_large",
                f"It unpacks to more than {self.ratio} times its size ({out >> 20:,} MB so far), as data do not: it "
                "was made to fill memory or disks.",
                "If it is sound, unpack it before it is loaded.",
            )


STREAMED = ExpansionLimits()
"""For files read front to back, which take no disk space."""

SPOOLED = ExpansionLimits(size=16 << 30)
"""For files decompressed to disk."""


_HEADS = {"gzip": (b"\x1f\x8b",), "xz": (b"\xfd7", b"]\0")}
"""How a file begins, where the library looks at a longer head, and only as a whole. xz may be the older LZMA format."""

_STEP = 1 << 18
_OUT = 1 << 20
_XZ_MEMORY = 256 << 20
_ZSTD_WINDOW_LOG = 27
_HINT = "Send it again, or compare it with the original."


class Content(Protocol):
    """Bytes, read front to back."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end. Raises SourceError (`bad_compression`, `too_large`)."""

    def close(self) -> None: ...


def open_compressed(path: Path, compression: str, *, bounds: ExpansionLimits = STREAMED) -> Content:
    """The decompressed content of a file. Raises SourceError (`bad_compression`, `too_large`), also when it is read."""
    if compression == "zip":
        return _ZipMember(path, bounds)
    return _Decompressing(path.open("rb"), compression, bounds)


class _Decompressing:
    """A file of one or several compressed streams in sequence."""

    def __init__(self, file: BinaryIO, kind: str, bounds: ExpansionLimits) -> None:
        self._file, self._kind, self._bounds = file, kind, bounds
        self._make, self._errors = _decompressor(kind)
        self._decompressor = self._make()
        self._waiting = self._head = b""
        self._taken = self._out = 0
        self._begun = self._ended = False

    def read(self, size: int) -> bytes:
        size = min(size, _OUT)
        while not self._ended:
            if self._decompressor.eof and not self._next():
                break
            if not self._waiting and self._decompressor.needs_input:
                self._waiting = self._more()
                if not self._waiting:
                    raise self._cut_off()
            try:
                block = bytes(self._decompressor.decompress(self._waiting, size))
            except self._errors as error:
                raise self._damaged(error) from None
            self._waiting, self._begun = b"", True
            if block:
                self._out += len(block)
                self._bounds.check(self._out, self._taken)
                return block
        return b""

    def close(self) -> None:
        self._file.close()

    def _more(self) -> bytes:
        block = self._file.read(_STEP)
        self._head = self._head or block[:2]
        self._taken += len(block)
        return block

    def _next(self) -> bool:
        """Whether another stream follows; zero padding is skipped."""
        rest = bytes(self._decompressor.unused_data) or self._more()
        while rest and not (rest := rest.lstrip(b"\0")):
            rest = self._more()
        self._ended = not rest
        self._decompressor, self._waiting = self._make(), rest
        return not self._ended

    def _cut_off(self) -> SourceError:
        if not self._taken:
            self._ended = True
            return SourceError("empty_file", "It is empty.", f"A {self._kind} file has at least a head.")
        if self._kind in _HEADS and not any(each.startswith(self._head) for each in _HEADS[self._kind]):
            return self._other_kind()
        message = f"It is truncated: its {self._kind} data end early, after {self._out:,} decompressed bytes."
        return SourceError("bad_compression", message, _HINT)

    def _damaged(self, error: Exception) -> SourceError:
        if not self._begun:
            return self._other_kind()
        message = f"Its {self._kind} data are damaged after {self._out:,} valid bytes: {error}."
        return SourceError("bad_compression", message, _HINT)

    def _other_kind(self) -> SourceError:
        hint = "Set options.compression to what it is compressed with, or to none."
        return SourceError("bad_compression", f"It is not compressed with {self._kind}.", hint)


def _decompressor(kind: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    if kind == "gzip":
        from isal import igzip_lib

        damaged: Any = igzip_lib.IsalError
        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), (damaged, EOFError)
    if kind == "zstd":
        from headrace.connectors.files.compression.zstandard import zstd

        largest = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
        return lambda: zstd.ZstdDecompressor(options=largest), (zstd.ZstdError, EOFError)
    if kind == "bz2":
        return bz2.BZ2Decompressor, (OSError, ValueError, EOFError)
    return lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), (lzma.LZMAError, EOFError)


class _ZipMember:
    """The only file in a zip archive."""

    def __init__(self, path: Path, bounds: ExpansionLimits) -> None:
        self._bounds, self._out = bounds, 0
        try:
            self._archive = ZipFile(path)
        except (BadZipFile, ValueError, NotImplementedError) as error:
            if path.stat().st_size == 0:
                raise SourceError("empty_file", "It is empty.", "A zip archive has at least a directory.") from None
            raise _bad_zip(error) from None
        try:
            member = _only_member(self._archive)
            self._packed = member.compress_size
            self._file: Any = self._archive.open(member)
        except BaseException as error:
            self._archive.close()
            if isinstance(error, BadZipFile | NotImplementedError | RuntimeError):
                raise _bad_zip(error) from None
            raise

    def read(self, size: int) -> bytes:
        try:
            block: bytes = self._file.read(min(size, _OUT))
        except (BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError, OSError) as error:
            message = f"It is damaged after {self._out:,} valid bytes: {error or 'it is truncated'}."
            raise SourceError("bad_compression", message, _HINT) from None
        self._out += len(block)
        self._bounds.check(self._out, self._packed)
        return block

    def close(self) -> None:
        self._file.close()
        self._archive.close()


def _only_member(archive: ZipFile) -> ZipInfo:
    members = [each for each in archive.infolist() if not each.is_dir() and not _is_metadata(each.filename)]
    if len(members) == 1:
        if members[0].flag_bits & 1:
            raise SourceError("bad_compression", "It is encrypted.", "Put it there without a password.")
        return members[0]
    if not members:
        raise SourceError("empty_file", "It is a zip archive without a file.")
    named = ", ".join(each.filename for each in members[:5]) + (", …" if len(members) > 5 else "")
    raise SourceError(
        "bad_compression", f"It is a zip archive of {len(members)} files: {named}.", "One file in each archive is read."
    )


def _is_metadata(name: str) -> bool:
    """Whether it is metadata that archivers add."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def _bad_zip(error: BaseException) -> SourceError:
    hint = "Set options.compression to what it is compressed with, or to none."
    return SourceError("bad_compression", f"It is not a zip archive that can be read: {error}.", hint)
