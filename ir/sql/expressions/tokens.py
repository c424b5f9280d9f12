"""The tokens of a SQL expression. Texts are written '…', names "…" or `…`, and there are no comments: any other
quoting or comment syntax is refused, so nothing can hide in what only looks like a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from headrace.ir.sql.errors import unreadable

Kind = Literal["text", "name", "number", "word", "mark", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """`value` is the token's value, for a text or a name without quotes. `key` is the upper-case form of an ASCII word
    or mark, else empty; letters of other scripts are never taken for Latin ones."""

    kind: Kind
    value: str
    key: str = ""


_TOKEN = re.compile(
    r"""
    [ \t\r\n]*(?:
    (?P<hidden>--|/\*|\$|\b[A-Za-z]{1,2}&?')
    | (?P<text>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")+"|`(?:[^`]|``)+`)
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<word>[^\W\d]\w*)
    | (?P<mark>!~~\*|!~~|!~\*|!~|~~\*|~~|~\*|~|<=>|<>|<=|>=|==|!=|\|\||::|\^@|//|[-+*/%=<>&|(),.\[\]])
    | (?P<end>\Z))
    """,
    re.VERBOSE,
)
_SHORT_WORDS = {"IN", "OR", "IS", "AS", "BY"}
_DIGITS = 38


def tokens(sql: str) -> list[Token]:
    """Splits the text into tokens, the last of the kind `end`. Raises Refused."""
    return [*_tokens(sql), Token("end", "the end")]


def _tokens(sql: str) -> Iterator[Token]:
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:
            raise _stray(sql, at + len(sql) - at - len(sql[at:].lstrip(" \t\r\n")))
        kind = match.lastgroup or "end"
        written = match[kind]
        at = match.end()
        match kind:
            case "end":
                return
            case "hidden" if written[-1:] == "'" and written[:-1].upper() in _SHORT_WORDS:
                yield Token("word", written[:-1], written[:-1].upper())
                at -= 1
            case "hidden":
                raise _hidden(sql, match.start(kind), written)
            case "text" | "name":
                quote = written[0]
                value = written[1:-1].replace(quote * 2, quote)
                if "\x00" in value:
                    raise unreadable("A NUL character is not allowed in an expression", "remove it")
                yield Token("text" if quote == "'" else "name", value)
            case "number":
                if "e" not in written.lower() and sum(map(str.isdigit, written)) > _DIGITS:
                    raise unreadable(f"A number has at most {_DIGITS} digits", "write it with an exponent: 1.5e40")
                yield Token("number", written)
            case "word":
                yield Token("word", written, written.upper() if written.isascii() else "")
            case _:
                yield Token("mark", written, written)


def _hidden(sql: str, at: int, mark: str) -> Exception:
    if mark == "$":
        found = re.compile(r"\$\w*\$?").match(sql, at)
        mark = found[0] if found else mark
    text = f"{mark} is not allowed in an expression: write texts as '…', names as \"…\", and no comments"
    return unreadable(text)


def _stray(sql: str, at: int) -> Exception:
    if sql[at] in "'\"`":
        what = "text" if sql[at] == "'" else "name"
        return unreadable(f"A {what} that begins at character {at + 1} does not end", f"close it with {sql[at]}")
    if sql[at].isdigit() or sql[at] == ".":
        return unreadable(f"'{sql[at : at + 20]}' is not a number")
    return unreadable(f"{sql[at]!r} at character {at + 1} is not valid here", 'put names into double quotes: "…"')
