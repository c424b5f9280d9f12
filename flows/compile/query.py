"""Whether a SQL query reads nothing but the table it is given.

polars opens the files of a query while it parses it, so what could name one is refused before it sees the text:
whatever stands behind FROM or JOIN must be `input`, a name that WITH defines, or a subquery; and no function that
reads. The only quotes are '…', "…" and `…`, and there are no comments, so that nothing can hide.
"""

from __future__ import annotations

import re

from flows.compile.row_local import OTHER_QUOTES, QUOTED

_BEGINS = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:from|join)[\s(]*([^\s,();]*)", re.IGNORECASE)
_DEFINED = re.compile(r"\b([a-z_]\w*)\s+as\s*\(", re.IGNORECASE)
_READS = re.compile(r"\b(read_\w+|scan_\w+|glob)\s*\(", re.IGNORECASE)
_WORDS = re.compile(
    r"\b(insert|update|delete|create|drop|truncate|alter|copy|explain|show|describe|lateral|table)\b", re.IGNORECASE
)
_FUNCTIONS = re.compile(r"\b(extract|trim|substring|overlay|position)\s*\([^()]*\bfrom\b", re.IGNORECASE)


def refusal(query: str) -> str | None:
    """Why the query is not one SELECT over `input`, or None."""
    bare = QUOTED.sub(
        lambda quoted: quoted[0] if quoted[0].strip('"`').lower() == "input" else f"{quoted[0][0]} ", query
    )
    bare = re.sub(r"[\"`](input)[\"`]", r"\1", bare, flags=re.IGNORECASE).strip().rstrip(";")
    if mark := OTHER_QUOTES.search(bare):
        return f"{mark[0]} is not allowed in a query: write texts as '…', names as \"…\", and no comments"
    if not _BEGINS.match(bare) or ";" in bare:
        return "It is not one SELECT"
    if word := _WORDS.search(bare):
        return f"'{word[0]}' is not allowed in a query"
    if function := _READS.search(bare):
        return f"'{function[1]}' would read something else than 'input'"
    bare = _FUNCTIONS.sub(lambda call: re.sub(r"\bfrom\b", "of", call[0], flags=re.IGNORECASE), bare)
    # Parentheses hold a subquery, or a table like any other.
    known = {"input", "select", "with", *(name.lower() for name in _DEFINED.findall(bare))}
    for table in _TABLE.findall(bare):
        if table.lower() not in known:
            return f"'{table or '?'}' is not 'input', the one table there is"
    if "from" in bare.lower() and _comma_behind_from(bare):
        return "Tables are joined with JOIN, not with a comma"
    return None


def _comma_behind_from(bare: str) -> bool:
    """Whether a list of tables stands behind a FROM, at its own depth and before its next clause."""
    clause = re.compile(r"\b(where|group|order|having|limit|offset|union|except|intersect|window|qualify)\b", re.I)
    for found in re.finditer(r"\bfrom\b", bare, re.IGNORECASE):
        depth = 0
        rest = bare[found.end() :]
        stop = len(rest)
        if (match := clause.search(rest)) is not None:
            stop = match.start()
        for mark in rest[:stop]:
            depth += (mark == "(") - (mark == ")")
            if depth < 0:
                break
            if mark == "," and depth == 0:
                return True
    return False
