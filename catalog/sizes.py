"""Parses sizes in settings, and formats sizes for messages."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(?P<number>\d{1,12}(\.\d{1,3})?)\s*(?P<unit>[KMGT]i?B?|B|%)?", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def parse_bytes(text: str, *, whole: int) -> int:
    """Returns the bytes of `512MB`, `1.5 GiB`, `40%` (of `whole`) or a number of bytes. K, M, G and T are powers of
    1024, as in `docker run --memory`. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text[:40]}' is not a size: write 2GB, 512MB, 25% or a number of bytes")
    number, unit = float(found["number"]), (found["unit"] or "").upper()
    if unit == "%":
        if number > 100:
            raise ValueError(f"'{text}' is more than 100%")
        return int(whole * number / 100)
    return int(number * _UNITS[unit[:1]])


def format_bytes(count: int) -> str:
    """Formats bytes as `512 MB` or `1.5 GB`, in powers of 1024."""
    for unit, size in (("GB", 1024**3), ("MB", 1024**2), ("kB", 1024)):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count} bytes"
