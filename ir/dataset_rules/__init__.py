"""Dataset rules: checks on all rows of a validate node together. Each is a field of DatasetLevel.

`flows.compile.dataset_rules` evaluates them.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.ir.base import Doc
from headrace.ir.dataset_rules.rules import (
    DatasetRule,
    Freshness,
    NullRate,
    OnDatasetFail,
    RowCount,
    RowCountAnomaly,
    Several,
    Statistic,
    StatisticFn,
    Uniqueness,
)


class DatasetLevel(Doc):
    """Rules by kind, each one rule or a list of them. With an `abort` rule, rows become visible in the targets after
    the node only when all rows have been read and the rules hold (write, audit, publish)."""

    row_count: Several[RowCount] = ()
    null_rate: Several[NullRate] = ()
    uniqueness: Several[Uniqueness] = ()
    freshness: Several[Freshness] = ()
    statistic: Several[Statistic] = ()
    row_count_anomaly: Several[RowCountAnomaly] = ()

    def __iter__(self) -> Iterator[tuple[str, DatasetRule]]:  # type: ignore[override]
        """Yields every rule with its path below `datasetLevel`."""
        for name, field in type(self).model_fields.items():
            rules: tuple[DatasetRule, ...] = getattr(self, name)
            several = len(rules) > 1
            for position, rule in enumerate(rules):
                yield f"{field.alias}[{position}]" if several else str(field.alias), rule


__all__ = [
    "DatasetLevel", "DatasetRule", "Freshness", "NullRate", "OnDatasetFail", "RowCount", "RowCountAnomaly",
    "Statistic", "StatisticFn", "Uniqueness",
]  # fmt: skip
