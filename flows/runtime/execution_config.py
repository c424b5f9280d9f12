"""`executionConfig` of a pipeline, as a run reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, Literal, get_args

from headrace.connectors.source import Discovery, numbered_from
from headrace.ir.base import is_whole_number

Mode = Literal["batch", "micro_batch", "streaming"]
MODES: tuple[Mode, ...] = get_args(Mode)
ROLLOVER_SECONDS = 3600
"""After so long a streaming run is followed by another one, unless `rolloverSeconds` says otherwise."""
EPOCH_SECONDS = 30
"""About how long an epoch reads at most, unless `maxSeconds` says otherwise: whoever pauses a stream waits for that."""
PARTITIONS_PER_WORKER = 2
"""More partitions than workers, so that one slow partition does not keep the others waiting at the end."""
_SPLITS = {"key", "auto"}
"""The values of `executionConfig.partitioning` that a source's `partitioning` also has; files and shards are split
automatically."""


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """The maximum rows per transaction (None: as read), the partitions run at once, and the mode.

    `max_rows` and `max_seconds` bound what a run reads of a source with cursors, in the modes other than `batch`.
    """

    batch_rows: int | None
    parallelism: int
    mode: Mode = "batch"
    max_rows: int | None = None
    max_seconds: int | None = None
    partitioning: Mapping[str, Any] = field(default_factory=dict)
    rollover_seconds: int = ROLLOVER_SECONDS
    max_lag_seconds: int | None = None

    @classmethod
    def of(cls, config: Mapping[str, object]) -> ExecutionConfig:
        """Parses the stored config; invalid values that an earlier release accepted are ignored."""
        mode, split = config.get("mode"), config.get("partitioning")
        batched = mode not in MODES or mode == "batch"
        longest = EPOCH_SECONDS if mode == "streaming" else None
        return cls(
            batch_rows=_positive(config.get("batchSize")),
            parallelism=_positive(config.get("parallelism")) or 4,
            mode="batch" if batched else mode,  # type: ignore[arg-type]
            max_rows=None if batched else _positive(config.get("maxRows")),
            max_seconds=None if batched else _positive(config.get("maxSeconds")) or longest,
            partitioning=split if isinstance(split, Mapping) else {},
            rollover_seconds=_positive(config.get("rolloverSeconds")) or ROLLOVER_SECONDS,
            max_lag_seconds=_positive(config.get("maxLagSeconds")),
        )

    @property
    def partitions(self) -> int:
        """The most partitions that a source is split into."""
        return _positive(self.partitioning.get("partitions")) or self.parallelism * PARTITIONS_PER_WORKER

    def split(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """A node's settings for a connector with `partitioning`, with these defaults."""
        given = {name: self.partitioning[name] for name in ("by", "column", "partitions") if name in self.partitioning}
        if given.get("by") not in _SPLITS:
            given.pop("by", None)
        return settings if settings.get("partitioning") or not given else {**settings, "partitioning": given}

    def rows_of(self, found: Discovery) -> int | None:
        """The most rows that are read of a partition with a cursor: its share of `max_rows`, so that every partition
        advances."""
        sharing = sum(each.cursor is not None for each in found.partitions)
        return None if self.max_rows is None else max(1, ceil(self.max_rows / max(1, sharing)))

    def bounded(self, found: Discovery) -> Discovery:
        """The discovery for a run that may stop before the end of partitions with cursors, whose numbers of rows are
        then not known. Every partition has its own row numbers (`Partition.first_row`)."""
        if (self.max_rows is None and self.max_seconds is None) or all(p.cursor is None for p in found.partitions):
            return found
        share = self.rows_of(found)
        partitions = [
            replace(
                each,
                first_row=numbered_from(each.index),
                rows=each.rows if each.cursor is None or share is None else min(each.rows, share),
                counted=each.counted and each.cursor is None,
            )
            for each in found.partitions
        ]
        return replace(found, partitions=partitions, total_rows=sum(each.rows for each in partitions))


def _positive(value: object) -> int | None:
    return value if is_whole_number(value) and value > 0 else None
