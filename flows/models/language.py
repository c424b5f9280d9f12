"""The language of a text, by py3langid: a naive Bayes model over byte sequences, shipped in its package."""

from __future__ import annotations

from functools import cache
from typing import Any

import polars as pl

from headrace.flows.fork_lock import ForkLock
from headrace.flows.models import per_distinct_text

MODULE = "py3langid"
SURE = 0.5
"""The least probability of a language."""

_loading = ForkLock()


def language(texts: pl.Series) -> pl.Series:
    """ISO 639-1 codes (text); null for null, blank, and where no language has probability SURE."""
    return per_distinct_text(texts, _languages, pl.String)


def _languages(texts: list[str]) -> pl.Series:
    with _loading:
        identifier = _load()
    codes = pl.Series([identifier.classify(text)[0] for text in texts], dtype=pl.String)
    return codes.set(codes == "und", None)


@cache
def _load() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=SURE)
    identifier.set_languages([code for code in identifier.labels if len(code) == 2])  # others have no ISO 639-1 code
    return identifier
