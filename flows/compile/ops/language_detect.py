"""`language_detect`"""

from __future__ import annotations

import polars as pl

from flows.compile.models import needs
from flows.compile.scope import Scope
from flows.compile.step import Step
from flows.models import language
from ir.ops import LanguageDetect


def compile_language_detect(op: LanguageDetect, scope: Scope) -> tuple[Step, ...]:
    """The column of codes."""
    needs(scope, op.type, language.MODULE)
    text = scope.text(op.field, "field")
    scope.output(op.to, "to", replaces=op.field)
    column = text.map_batches(language.language, return_dtype=pl.String(), is_elementwise=True).alias(op.to)
    return (Step(scope.node, scope.path, f"{op.to} = language of {op.field}", columns=(column,)),)
