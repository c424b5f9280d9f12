"""Ops that change values: `fill_null`, `trim`, `map_values`, `hash`, `mask_pii`, `split`."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from headrace.flows.compile.casting import as_text, check, common_type, literals
from headrace.flows.compile.hashing import hashed, salt_of, together
from headrace.flows.compile.masking import MASK
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Step
from headrace.ir.ops import FillNull, Hash, MapValues, MaskPii, Split, Trim


def compile_fill_null(op: FillNull, scope: Scope) -> tuple[Step, ...]:
    """Replaces nulls in the columns, each in its own type."""
    columns = tuple(_filled(op, scope, name, f"fields[{index}]") for index, name in enumerate(op.fields))
    filling = op.source if op.source is not None else repr(op.value)
    label = f"fill {', '.join(op.fields)} with {filling}"
    return (Step(scope.node, scope.path, label, columns=columns),)


def _filled(op: FillNull, scope: Scope, name: str, where: str) -> pl.Expr:
    have = scope.column(name, where)
    value = pl.col(name)
    missing = value.is_null()
    if op.blank:
        missing |= scope.text(name, where).str.strip_chars() == ""
    return pl.when(missing).then(_filling(op, scope, name, have)).otherwise(value).alias(name)


def _filling(op: FillNull, scope: Scope, name: str, have: pl.DataType) -> pl.Expr:
    if op.source is None:
        dtype = common_type([op.value]) if have == pl.Null else have
        if dtype.is_nested() or dtype == pl.Binary:
            raise scope.fault("value", "wrong_type", f"'{name}' is {dtype}, for which no value can be written")
        return pl.lit(literals(scope, [op.value], dtype, "value").item(), dtype)
    other = scope.column(op.source, "from")
    if other != have and pl.Null not in (other, have):
        message = f"'{op.source}' is {other}, but '{name}' is {have}"
        raise scope.fault("from", "wrong_type", message, "cast one of them before")
    return pl.col(op.source)


def compile_trim(op: Trim, scope: Scope) -> tuple[Step, ...]:
    """Removes characters at the ends of texts."""
    columns = tuple(
        _trimmed(op, scope.text(name, f"fields[{index}]")).alias(name) for index, name in enumerate(op.fields)
    )
    return (Step(scope.node, scope.path, f"trim {', '.join(op.fields)}", columns=columns),)


def _trimmed(op: Trim, value: pl.Expr) -> pl.Expr:
    match op.side:
        case "start":
            return value.str.strip_chars_start(op.characters)
        case "end":
            return value.str.strip_chars_end(op.characters)
    return value.str.strip_chars(op.characters)


def compile_map_values(op: MapValues, scope: Scope) -> tuple[Step, ...]:
    """Replaces values of the column. Without a default it keeps its type, because unmapped values stay; with a default
    it takes the type of the new values."""
    have = scope.column(op.field, "field")
    to = op.to or op.field
    scope.output(to, "to", replaces=op.field)
    value = pl.col(op.field)
    if have == pl.Null or have.is_(pl.Categorical) or isinstance(have, pl.Enum):
        have, value = pl.String(), value.cast(pl.String)
    if have.is_nested() or have == pl.Binary:
        raise scope.fault("field", "wrong_type", f"'{op.field}' is {have}, which has no values to name", "")
    old = literals(scope, op.mapping, have, "mapping")
    if old.is_duplicated().any():
        twice = list(op.mapping)[old.is_duplicated().arg_true()[1]]
        raise scope.fault("mapping", "duplicate_key", f"'{twice}' is mapped twice: it is the same {have} value")
    becomes = common_type([*op.mapping.values(), op.default]) if op.has_default else have
    new = literals(scope, op.mapping.values(), becomes, "mapping")
    default = pl.lit(literals(scope, [op.default], becomes, "default").item(), becomes) if op.has_default else value
    mapped = value.replace_strict(old, new, default=default, return_dtype=becomes)
    column = pl.when(value.is_not_null()).then(mapped).otherwise(pl.lit(None, becomes)).alias(to)
    label = f"map {len(op.mapping)} values of {op.field}" + (f" to {to}" if to != op.field else "")
    return (Step(scope.node, scope.path, label, columns=(column,)),)


def compile_hash(op: Hash, scope: Scope) -> tuple[Step, ...]:
    """Hashes each field in place, or all of them into one new column."""
    texts = [as_text(name, scope.column(name, f"fields[{index}]")) for index, name in enumerate(op.fields)]
    salt = salt_of(op.salt, scope)
    columns: tuple[pl.Expr, ...]
    if op.to is None:
        columns = tuple(
            hashed(text, op.algorithm, salt).alias(name) for name, text in zip(op.fields, texts, strict=True)
        )
    else:
        scope.new_column(op.to, "to")
        text = texts[0] if len(texts) == 1 else together(texts)
        columns = (hashed(text, op.algorithm, salt).alias(op.to),)
    label = f"hash {', '.join(op.fields)}{f' to {op.to}' if op.to else ''} ({op.algorithm}{', salted' if salt else ''})"
    return (Step(scope.node, scope.path, label, columns=columns, conceals=op.fields),)


_ANY = r"(?s)."
_LETTER_OR_DIGIT = r"[\p{L}\p{N}]"
_LAST_FOUR_DIGITS = r"(?s)^(.*?)((?:\d\D*){4})$"
_TOKEN_DIGITS = 32


def compile_mask_pii(op: MaskPii, scope: Scope) -> tuple[Step, ...]:
    """Masks the values of the column: the result is text, and null stays null. The strategy `null` keeps the type."""
    have = scope.column(op.field, "field")
    if op.strategy == "null":
        masked = pl.lit(None, dtype=have)
    elif op.strategy == "tokenize":
        salt = salt_of(op.salt, scope)
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
    """Keeps the first and the last character; of up to three characters none."""
    inner = text.str.slice(1, text.str.len_chars() - 2)
    shown = pl.concat_str(text.str.head(1), _starred(inner), text.str.tail(1))
    return pl.when(text.str.len_chars() > 3).then(shown).otherwise(_starred(text))


def _email(text: pl.Expr) -> pl.Expr:
    """Keeps the first character and the domain."""
    shown = text.str.replace(r"(?s)^(.)[^@]*@([^@]+)$", f"${{1}}{MASK}@${{2}}")
    return pl.when(text.str.contains(r"(?s)^.[^@]*@[^@]+$")).then(shown).otherwise(pl.lit(MASK))


def _phone(text: pl.Expr) -> pl.Expr:
    """Keeps the last four digits and the punctuation; of up to four digits only the punctuation."""
    head, tail = text.str.extract(_LAST_FOUR_DIGITS, 1), text.str.extract(_LAST_FOUR_DIGITS, 2)
    shown = pl.concat_str(head.str.replace_all(_LETTER_OR_DIGIT, "*"), tail.str.replace_all(r"\p{L}", "*"))
    return pl.when(text.str.count_matches(r"\d") > 4).then(shown).otherwise(text.str.replace_all(_LETTER_OR_DIGIT, "*"))


def _last4(text: pl.Expr) -> pl.Expr:
    """Keeps the last four characters; of up to four characters none."""
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


def compile_split(op: Split, scope: Scope) -> tuple[Step, ...]:
    """Splits the text, and checks that it has as many parts as there are columns."""
    value = scope.text(op.field, "field")
    for index, name in enumerate(op.into):
        scope.output(name, f"into[{index}]", replaces=op.field)
    given = value.str.strip_chars() != ""
    if op.separator is not None:
        parts = _separated(value, op.separator, len(op.into))
        fails, message = parts[-1].is_null(), f"Expected {len(op.into)} parts separated by '{op.separator}'"
        label = f"split {op.field} at '{op.separator}'"
    else:
        assert op.pattern is not None
        parts = _groups(op, scope, value, op.pattern)
        fails, message = ~value.str.contains(op.pattern), f"Does not match the pattern {op.pattern}"
        label = f"split {op.field} by {op.pattern}"
    on_fail = "quarantine" if op.on_error == "null" else op.on_error
    too_few = check("split", op.field, scope.schema[op.field], given & fails, message, on_fail)
    return (
        Step(
            scope.node,
            scope.path,
            f"{label} into {', '.join(op.into)}",
            checks=() if op.on_error == "null" else (too_few,),
            columns=tuple(pl.when(given).then(part).alias(name) for part, name in zip(parts, op.into, strict=True)),
        ),
    )


def _separated(value: pl.Expr, separator: str, count: int) -> list[pl.Expr]:
    parts = value.str.splitn(separator, count)
    return [parts.struct.field(f"field_{index}") for index in range(count)]


def _groups(op: Split, scope: Scope, value: pl.Expr, pattern: str) -> list[pl.Expr]:
    with scope.checked("pattern"):
        found = pl.select(pl.lit("").str.extract_groups(pattern)).to_series().struct.fields
    if len(found) != len(op.into):
        message = f"The pattern has {len(found)} groups, but 'into' names {len(op.into)} columns"
        raise scope.fault("pattern", "pattern_groups", message, "put each part in parentheses: '^(\\w+)-(\\d+)$'")
    return [value.str.extract(pattern, index + 1) for index in range(len(found))]
