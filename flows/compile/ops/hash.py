"""`hash`"""

from __future__ import annotations

import polars as pl

from flows.compile.casting import as_text
from flows.compile.hashing import hashed, together
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Hash


def compile_hash(op: Hash, scope: Scope) -> tuple[Step, ...]:
    """Each field hashed in its place, or one new column for all of them."""
    texts = [as_text(name, scope.column(name, f"fields[{index}]")) for index, name in enumerate(op.fields)]
    salt = None if op.salt is None else scope.secret(op.salt, "salt")
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
