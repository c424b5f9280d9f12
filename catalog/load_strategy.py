"""How a run loads, in the three words of the REST contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

LoadStrategy = Literal["append", "upsert", "replace"]

LOAD_STRATEGIES: dict[str, LoadStrategy] = {
    "append": "append",
    "incremental_watermark": "append",
    "upsert": "upsert",
    "cdc_mirror": "upsert",
    "scd2": "upsert",
    "truncate": "replace",
    "replace": "replace",
    "blue_green": "replace",
}
"""Load mode of a target → load strategy of the run."""

_LEAST_RESUMABLE_FIRST: tuple[LoadStrategy, ...] = ("replace", "upsert", "append")


def load_strategy(load_modes: Iterable[str]) -> LoadStrategy:
    """The strategy of a run whose targets have these load modes; with several, the one that resumes least decides."""
    strategies = {LOAD_STRATEGIES[mode] for mode in load_modes}
    return next((strategy for strategy in _LEAST_RESUMABLE_FIRST if strategy in strategies), "append")
