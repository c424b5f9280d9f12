"""The rules on all rows of a validate node together. One line each in DatasetLevel.

What a rule measures, and when it holds, stands in `flows.compile.dataset_rules`, by its class.
"""

from __future__ import annotations

from collections.abc import Iterator

from ir.base import Doc
from ir.dataset_rules.base import DatasetRule, OnDatasetFail, Several
from ir.dataset_rules.columns import Freshness, NullRate, Statistic, StatisticFn, Uniqueness
from ir.dataset_rules.rows import RowCount, RowCountAnomaly


class DatasetLevel(Doc):
    """Rules by kind; each one rule, or a list of them. With an `abort` rule nothing becomes visible in a target behind
    the node before all its rows have been read and the rules hold (write, audit, publish)."""

    row_count: Several[RowCount] = ()
    null_rate: Several[NullRate] = ()
    uniqueness: Several[Uniqueness] = ()
    freshness: Several[Freshness] = ()
    statistic: Several[Statistic] = ()
    row_count_anomaly: Several[RowCountAnomaly] = ()

    def __iter__(self) -> Iterator[tuple[str, DatasetRule]]:  # type: ignore[override]
        """Every rule with its path below `datasetLevel`."""
        for name, field in type(self).model_fields.items():
            rules: tuple[DatasetRule, ...] = getattr(self, name)
            several = len(rules) > 1
            for position, rule in enumerate(rules):
                yield f"{field.alias}[{position}]" if several else str(field.alias), rule


__all__ = [
    "DatasetLevel", "DatasetRule", "Freshness", "NullRate", "OnDatasetFail", "RowCount", "RowCountAnomaly",
    "Statistic", "StatisticFn", "Uniqueness",
]  # fmt: skip
