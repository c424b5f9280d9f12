"""Properties of each load mode, without a database: one line per mode. How it loads is in
`connectors.postgresql.modes`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

LoadModeName = Literal[
    "append", "upsert", "replace", "truncate", "blue_green", "incremental_watermark", "cdc_mirror", "scd2"
]

LoadStrategy = Literal["append", "upsert", "replace"]
"""The load strategy of a run, as the REST API names it."""


@dataclass(frozen=True, slots=True)
class LoadModeTraits:
    """The properties of a load mode that other modules use."""

    strategy: LoadStrategy
    full: bool = False
    """After a run, the table has exactly the rows that the run read."""
    keyed: bool = False
    """Merges by `upsertKey`, which it needs."""
    history: bool = False
    """The table keeps a history, in columns that the load fills."""
    events: bool = False
    """The rows are change events."""
    watermark: bool = False
    """Loads only rows after a watermark; needs a `watermarkColumn`."""


LOAD_MODES: Mapping[str, LoadModeTraits] = {
    "append": LoadModeTraits("append"),
    "incremental_watermark": LoadModeTraits("append", watermark=True),
    "upsert": LoadModeTraits("upsert", keyed=True),
    "scd2": LoadModeTraits("upsert", keyed=True, history=True),
    "cdc_mirror": LoadModeTraits("upsert", keyed=True, events=True),
    "truncate": LoadModeTraits("replace", full=True),
    "replace": LoadModeTraits("replace", full=True),
    "blue_green": LoadModeTraits("replace", full=True),
}
assert set(LOAD_MODES) == set(get_args(LoadModeName))

RESUMABLE: tuple[LoadStrategy, ...] = ("append", "upsert")
"""The strategies of which a retry continues after the committed rows."""

_LEAST_RESUMABLE_FIRST: tuple[LoadStrategy, ...] = ("replace", "upsert", "append")


def load_strategy(load_modes: Iterable[str]) -> LoadStrategy:
    """The strategy of a run whose targets have these load modes: the least resumable one among them."""
    strategies = {LOAD_MODES[mode].strategy for mode in load_modes}
    return next((strategy for strategy in _LEAST_RESUMABLE_FIRST if strategy in strategies), "append")


def load_modes(document: Mapping[str, Any]) -> list[str]:
    """The load modes of the targets of an IR. Ignores faults of the document."""
    nodes = [node for node in document.get("nodes", ()) if isinstance(node, dict)]
    modes = [node.get("loadMode", "append") for node in nodes if node.get("kind") == "target"]
    return [mode for mode in modes if mode in LOAD_MODES]
