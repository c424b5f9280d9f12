"""Which compression a file has: by `options.compression`, else by its suffix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from headrace.connectors.errors import SourceError

SUFFIXES: Mapping[str, str] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zip": "zip",
}
COMPRESSIONS: tuple[str, ...] = ("gzip", "zstd", "bz2", "xz", "zip")
_MAGIC: Mapping[bytes, str] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
}


def compression_of(options: Mapping[str, Any], name: str) -> str | None:
    """The compression of a file of that name; None for none. Raises SourceError(`bad_option`)."""
    given = options.get("compression")
    if given in (None, "auto"):
        return SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if given == "none":
        return None
    if given not in COMPRESSIONS:
        hint = f"Use one of {', '.join(COMPRESSIONS)}, auto, none."
        raise SourceError("bad_option", f"Unknown options.compression {given!r}.", hint)
    return str(given)


def inner_suffix(name: str) -> str:
    """The suffix that determines the format: `csv` of `orders.csv.gz`; may be empty."""
    path = PurePosixPath(name)
    if path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    return path.suffix.lstrip(".").lower()


def detected(head: bytes) -> str | None:
    """The compression that the first bytes of a file indicate, or None."""
    return next((kind for mark, kind in _MAGIC.items() if head.startswith(mark)), None)
