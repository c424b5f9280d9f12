"""Texts as vectors, by WordLlama: averaged token embeddings, 16 MB, shipped in its package."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from headrace.flows.fork_lock import ForkLock
from headrace.flows.models import per_distinct_text

MODULE = "wordllama"
DIMENSIONS = 256
VECTOR = pl.Array(pl.Float32, DIMENSIONS)

_TOGETHER = 16
"""Texts embedded at a time: each takes a kilobyte per token of the longest."""
_loading = ForkLock()


def embed(texts: pl.Series) -> pl.Series:
    """Vectors of length 1 (VECTOR); null for null, blank, and texts without a known token."""
    return per_distinct_text(texts, _embed, VECTOR)


def _embed(texts: list[str]) -> pl.Series:
    lengths = np.array([len(text) for text in texts])
    order = np.argsort(lengths, kind="stable")  # texts of one length are padded least
    vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
    vectors[order] = _loaded().embed([texts[place] for place in order], batch_size=_TOGETHER)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = norms[:, 0] > 0
    vectors[known] /= norms[known]
    result = pl.Series("vector", vectors, dtype=VECTOR)
    return result if known.all() else result.set(pl.Series(~known), None)


def _loaded() -> Any:
    with _loading:
        return _load()


@cache
def _load() -> Any:
    import wordllama

    # The package looks for its own files under another name than it ships them, but finds them as a cache.
    shipped = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=shipped, dim=DIMENSIONS, disable_download=True)
