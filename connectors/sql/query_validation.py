"""Validates queries: one statement that only reads. Finds the places of its parameters.

The query runs with the user's login on the user's database; this restricts it to reading. It is the first of
three: the server plans the text as one statement of its own before it is run, and runs it in a transaction that cannot
write. The text that runs is the author's, not one that was written from the tree.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.relation import Scalar
from headrace.ir.problems import nearest

_ALLOWED = "Write one SELECT, WITH, VALUES or TABLE statement."
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_EXECUTED = ("!", "M!")
"""The start of comments that MySQL and MariaDB execute."""
_CLOSES = (")", "]", "}", '"', "'", "`")


@dataclass(frozen=True, slots=True)
class Query:
    """A validated query. `pieces` are the texts between its parameters, `names` the parameters, one fewer."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]

    def bound(self, values: Mapping[str, Scalar], literal: Callable[[Scalar], str]) -> str:
        """The text with the values of `literal` in place of the parameters."""
        text = [self.pieces[0]]
        for name, piece in zip(self.names, self.pieces[1:], strict=True):
            text += [literal(values[name]), piece]
        return "".join(text)


def validated(text: str, dialect: str, parameters: Sequence[str] = ()) -> Query:
    """Validates that a query is one statement that only reads, and that its parameters are all given and used.
    `dialect` is sqlglot's name of the system. Raises SourceError(`bad_query`)."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if _TEMPLATE.search(text):
        raise _refused(
            "A run's parameter is not pasted into a query.", 'Write :name, and "parameters": {"name": "{{name}}"}.'
        )
    if "\0" in text:
        raise _refused("The query holds a NUL character.", _ALLOWED)
    logger = logging.getLogger("sqlglot")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # parse errors are reported here
    try:
        tokens = sqlglot.tokenize(text, read=dialect)
        trees = [tree for tree in sqlglot.parse(text, read=dialect) if tree is not None]
    except SqlglotError as error:
        raise _refused(f"The query cannot be understood: {_first(error)}.", _ALLOWED) from None
    except RecursionError:
        raise _refused("The query is nested too deeply.", "Make it a view, and read that.") from None
    finally:
        logger.setLevel(level)
    trees = [tree for tree in trees if not isinstance(tree, exp.Semicolon)]
    if len(trees) != 1:
        raise _refused(f"The query is {len(trees)} statements.", _ALLOWED)
    tree = trees[0]
    if not isinstance(tree, exp.Select | exp.SetOperation | exp.Values | exp.Subquery | exp.Table):
        raise _refused("The query is not a read-only statement.", _ALLOWED)
    for node in tree.walk():
        if isinstance(node, exp.DML | exp.DDL | exp.Into | exp.Lock | exp.Command | exp.Merge):
            what = "locks rows" if isinstance(node, exp.Lock) else "writes, or runs a command"
            raise _refused(f"A part of the query {what} ({node.key.upper()}).", _ALLOWED)
    if any(comment.lstrip().startswith(_EXECUTED) for token in tokens for comment in token.comments):
        raise _refused("The query has a comment that is executed.", "Remove it.")
    found = _split(text, tokens)
    _check_parameters(found, {str(each.this) for each in tree.find_all(exp.Placeholder) if each.this}, parameters)
    return found


def _split(text: str, tokens: Sequence[Any]) -> Query:
    """A parameter is a colon followed by a name, and nothing right before it that has a value: `a[i:j]`, `x::int`
    and Snowflake's `column:path` are none."""
    pieces, names, end = [], [], 0
    last = max((token.end for token in tokens if token.text != ";" or token.token_type.name != "SEMICOLON"), default=-1)
    for before, colon, name in zip([None, *tokens], tokens, tokens[1:], strict=False):
        if colon.token_type.name != "COLON" or name.start != colon.end + 1 or not name.text.isidentifier():
            continue
        if before is not None and before.end == colon.start - 1 and _has_value(text[before.end]):
            continue
        pieces.append(text[end : colon.start])
        names.append(name.text)
        end = name.end + 1
    return Query((*pieces, text[end : last + 1]), tuple(names))


def _has_value(character: str) -> bool:
    return character.isalnum() or character in "_$" or character in _CLOSES


def _check_parameters(query: Query, in_tree: set[str], given: Sequence[str]) -> None:
    for name in dict.fromkeys(query.names):
        if name not in given:
            raise _refused(f"The query's parameter :{name} has no value in 'parameters'.", nearest(name, given))
        if name not in in_tree:
            raise _refused(f"':{name}' is in a place where no value is allowed.", "Put blanks around it, or a cast.")
    for name in given:
        if name not in query.names:
            raise _refused(f"The query has no parameter :{name}.", nearest(name, query.names) or "Remove it.")
    for name in sorted(in_tree - set(query.names)):
        raise _refused(f"':{name}' cannot be distinguished from other uses of the colon.", "Put a blank before it.")


def _first(error: Exception) -> str:
    """The first sentence of an error, without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()[0].rstrip(". ")[:300]


def _refused(message: str, hint: str) -> SourceError:
    return SourceError("bad_query", message, hint)
