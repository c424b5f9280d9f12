"""Completion messages of a graph's tasks in Prefect: correct counts, also for rows from other stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.flows.prefect.report import partition_message
from tests.flows.runtime.graphs.world import Mill, source, target

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({}, "3 rows loaded, 0 failed, 0 skipped of 3"),
        ({"loadMode": "replace"}, "3 rows staged, 0 failed, 0 skipped of 3"),
    ],
)
def test_tasks_after_a_join_count_its_rows(
    tmp_path: Path, database_url: str, options: dict[str, Any], after: str
) -> None:
    mill = Mill(tmp_path, database_url)
    mill.write("orders.csv", "id,customer", [(1, 10), (2, 20), (3, 20), ("x", 20)])
    mill.write("customers.csv", "nr,name", [(10, "Ann"), (20, "Bob")])
    mill.table("joined", "id bigint, customer bigint, name text")
    mill.table("orders", "id bigint, customer bigint")
    join = {"kind": "join", "type": "left", "on": [{"left": "customer", "right": "nr"}]}
    execution = mill.execution(
        [
            source("orders.csv", {"id": "bigint", "customer": "bigint"}, "orders"),
            source("customers.csv", {"nr": "bigint", "name": "text"}, "customers"),
            {"id": "both", "inputs": ["orders", "customers"], **join},
            target("tgt", "both", "joined", **options),
            target("kept", "orders", "orders"),
        ]
    )
    execution.begin()
    held = [name for name, mode in execution.prepared.modes.items() if mode.publications()]
    reported = {
        stage.root_node: partition_message(stage, execution.partition(stage, part.index), held)
        for stage in execution.prepared.plan.stages
        for part in stage.partitions
    }
    assert reported == {
        "orders": "3 rows sent on, 3 loaded, 1 failed, 0 skipped of 4",
        "customers": "2 rows sent on, 0 failed, 0 skipped of 2",
        "both": after,
    }
