"""Filters on delimited text before records are searched: comment lines and escaped quotes."""

from __future__ import annotations

from typing import Protocol

_LOOK_BYTES = 1 << 16
"""As for the line end of a header."""


class TextFilter(Protocol):
    """Filters text in blocks of any length; `final` with the last one."""

    def feed(self, block: bytes, *, final: bool) -> bytes: ...


class EscapeFilter:
    r"""Turns `\"` into `""` and `\\` into `\`; the escape before any other character stays."""

    def __init__(self, escape: str, quote: str | None) -> None:
        self._escape = escape.encode()
        self._quote = None if quote is None else quote.encode()
        self._kept = b""

    def feed(self, block: bytes, *, final: bool) -> bytes:
        text, self._kept = self._kept + block, b""
        if self._escape not in text:
            return text
        ends = len(text) - len(text.rstrip(self._escape))
        if ends % 2 and not final:  # the escaped character is in the next block
            text, self._kept = text[:-1], self._escape
        parts = text.split(self._escape * 2)
        if self._quote is not None:
            parts = [part.replace(self._escape + self._quote, self._quote * 2) for part in parts]
        return self._escape.join(parts)


class CommentFilter:
    """Removes lines that begin with the mark, except within quotes. The loop runs once per such line.

    Lines end in LF, or in CR if the first 64 KiB have no LF.
    """

    def __init__(self, mark: str, quote: str | None) -> None:
        self._mark = mark.encode()
        self._eol: bytes | None = None
        self._quote = None if quote is None else quote.encode()
        self._kept = b""
        self._quoted = False

    def feed(self, block: bytes, *, final: bool) -> bytes:
        text = self._kept + block
        if self._eol is None:
            if b"\n" not in text and not final and len(text) < _LOOK_BYTES:
                self._kept = text
                return b""
            self._eol = b"\n" if b"\n" in text else b"\r"
        whole = len(text) if final else text.rfind(self._eol) + 1
        text, self._kept = text[:whole], text[whole:]
        kept: list[bytes] = []
        begin = 0
        at = 0 if text.startswith((self._mark, b"\xef\xbb\xbf" + self._mark)) else self._next(text, 0, self._eol)
        while 0 <= at < len(text):
            part = text[begin:at]
            kept.append(part)
            if self._quote is not None:
                self._quoted ^= part.count(self._quote) % 2 == 1
            begin = at
            if not self._quoted:
                end = text.find(self._eol, at)
                begin = len(text) if end < 0 else end + 1
            at = (
                begin
                if text.startswith(self._mark, begin) and begin > at
                else self._next(text, max(begin, at), self._eol)
            )
        rest = text[begin:]
        if self._quote is not None:
            self._quoted ^= rest.count(self._quote) % 2 == 1
        return b"".join([*kept, rest])

    def _next(self, text: bytes, after: int, eol: bytes) -> int:
        """The begin of the next line that starts with the mark; -1 if there is none."""
        found = text.find(eol + self._mark, after)
        return -1 if found < 0 else found + 1
