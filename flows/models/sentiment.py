"""The sentiment of an English text, by VADER: a lexicon and rules, shipped in its package."""

from __future__ import annotations

from functools import cache
from typing import Any

import polars as pl

from headrace.flows.fork_lock import ForkLock
from headrace.flows.models import per_distinct_text

MODULE = "vaderSentiment"

_loading = ForkLock()


def sentiment(texts: pl.Series) -> pl.Series:
    """VADER's compound score, -1 to 1 (Float64); null for null and blank."""
    return per_distinct_text(texts, _scores, pl.Float64)


def _scores(texts: list[str]) -> pl.Series:
    with _loading:
        analyser = _load()
    return pl.Series([analyser.polarity_scores(text)["compound"] for text in texts], dtype=pl.Float64)


@cache
def _load() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
