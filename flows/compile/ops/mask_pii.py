"""`mask_pii`"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from flows.compile.casting import as_text
from flows.compile.hashing import hashed
from flows.compile.private import MASK
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import MaskPii

_ANY = r"(?s)."
_LETTER_OR_DIGIT = r"[\p{L}\p{N}]"
_LAST_FOUR_DIGITS = r"(?s)^(.*?)((?:\d\D*){4})$"
_TOKEN_DIGITS = 32


def compile_mask_pii(op: MaskPii, scope: Scope) -> tuple[Step, ...]:
    """The column with its values hidden; what is left of them is text, a null stays null."""
    have = scope.column(op.field, "field")
    if op.strategy == "null":
        masked = pl.lit(None, dtype=have)
    elif op.strategy == "tokenize":
        salt = None if op.salt is None else scope.secret(op.salt, "salt")
        digest = hashed(as_text(op.field, have), "sha256", salt)
        masked = pl.concat_str(pl.lit("tok_"), digest.str.slice(0, _TOKEN_DIGITS))
    else:
        text = as_text(op.field, have)
        masked = pl.when(text.is_not_null()).then(_STRATEGIES[op.strategy](text))
    label = f"mask {op.field} ({op.strategy})"
    return (Step(scope.node, scope.path, label, columns=(masked.alias(op.field),), conceals=(op.field,)),)


def _redact(text: pl.Expr) -> pl.Expr:
    return pl.lit(MASK)


def _partial(text: pl.Expr) -> pl.Expr:
    """The first and the last character stay; up to three characters, none does."""
    inner = text.str.slice(1, text.str.len_chars() - 2)
    shown = pl.concat_str(text.str.head(1), _starred(inner), text.str.tail(1))
    return pl.when(text.str.len_chars() > 3).then(shown).otherwise(_starred(text))


def _email(text: pl.Expr) -> pl.Expr:
    """The first character and the domain stay."""
    shown = text.str.replace(r"(?s)^(.)[^@]*@([^@]+)$", f"${{1}}{MASK}@${{2}}")
    return pl.when(text.str.contains(r"(?s)^.[^@]*@[^@]+$")).then(shown).otherwise(pl.lit(MASK))


def _phone(text: pl.Expr) -> pl.Expr:
    """The last four digits and the punctuation stay; of a number with no more digits, only the punctuation."""
    head, tail = text.str.extract(_LAST_FOUR_DIGITS, 1), text.str.extract(_LAST_FOUR_DIGITS, 2)
    shown = pl.concat_str(head.str.replace_all(_LETTER_OR_DIGIT, "*"), tail.str.replace_all(r"\p{L}", "*"))
    return pl.when(text.str.count_matches(r"\d") > 4).then(shown).otherwise(text.str.replace_all(_LETTER_OR_DIGIT, "*"))


def _last4(text: pl.Expr) -> pl.Expr:
    """The last four characters stay; of a text that has no more, none does."""
    hidden = text.str.slice(0, text.str.len_chars() - 4)
    return pl.when(text.str.len_chars() > 4).then(_starred(hidden) + text.str.tail(4)).otherwise(_starred(text))


def _starred(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(_ANY, "*")


_STRATEGIES: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "redact": _redact,
    "partial": _partial,
    "email": _email,
    "phone": _phone,
    "last4": _last4,
}
