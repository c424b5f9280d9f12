"""`sentiment_score`"""

from __future__ import annotations

import polars as pl

from flows.compile.models import needs
from flows.compile.scope import Scope
from flows.compile.step import Step
from flows.models import sentiment
from ir.ops import SentimentScore


def compile_sentiment_score(op: SentimentScore, scope: Scope) -> tuple[Step, ...]:
    """The column of scores."""
    needs(scope, op.type, sentiment.MODULE)
    text = scope.text(op.field, "field")
    scope.output(op.to, "to", replaces=op.field)
    column = text.map_batches(sentiment.sentiment, return_dtype=pl.Float64(), is_elementwise=True).alias(op.to)
    return (Step(scope.node, scope.path, f"{op.to} = sentiment of {op.field}", columns=(column,)),)
