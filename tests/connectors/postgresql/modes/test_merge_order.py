"""Merging by key compared with a dictionary: in any order of partitions and buckets, with crashes in between."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.connectors.postgresql.tables.describe import STAGED_OP
from headrace.connectors.source import ROW
from headrace.connectors.target import Resume
from tests.connectors.postgresql.modes.full_load import Load, Table, spec
from tests.databases import as_superuser
from tests.effort import examples

pytestmark = pytest.mark.postgres

Event = tuple[str, int, int]

EVENTS = st.lists(st.tuples(st.sampled_from("cccud"), st.integers(0, 6), st.integers(0, 3)), max_size=25)
BEFORE = st.dictionaries(st.integers(0, 6), st.integers(0, 3))


@pytest.fixture
def sql(database_url: str) -> Iterator[Table]:
    table = Table(database_url)
    yield table
    table.connection.close()


class Died(Exception):
    """The process or the server ended here."""


class Chain:
    """Attempts at one load, of which all but the last die somewhere; `lives` steps are done before each death."""

    def __init__(
        self, mode: str, url: str, sql: Table, events: list[Event], cuts: list[int], data: st.DataObject
    ) -> None:
        self.mode, self.url, self.sql, self.data = mode, url, sql, data
        self.root = uuid4().hex
        frame = pl.DataFrame(
            {"id": [key for _, key, _ in events], "n": [n for *_, n in events], STAGED_OP: [op for op, *_ in events]},
            schema={"id": pl.Int64, "n": pl.Int64, STAGED_OP: pl.String},
        ).with_columns(pl.int_range(1, len(events) + 1, dtype=pl.Int64).alias(ROW))
        bounds = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
        self.partitions = [frame.slice(start, stop - start) for start, stop in pairwise(bounds)]

    def run(self, lives: list[int]) -> Resume:
        """The counts of the attempt that came through."""
        for number, steps in enumerate([*lives, None]):
            try:
                return self._attempt(f"{self.root}_{number}", steps)
            except Died:
                if self.data.draw(st.booleans(), label="the server died too"):
                    as_superuser(self.url, "TRUNCATE _headrace.staging_ledger")
                    for (name,) in self.sql("SELECT relname FROM pg_class WHERE relname ~ '^stage_[0-9a-f]+$'"):
                        self.sql(f"TRUNCATE _headrace.{name}")
        raise AssertionError("the last attempt has as many steps as it likes")

    def _attempt(self, run_id: str, steps: int | None) -> Resume:
        left = steps

        def step() -> None:
            nonlocal left
            if left is not None:
                left -= 1
                if left < 0:
                    raise Died

        load = Load(
            self.mode,
            spec(self.url, ["id", "n"], run_id, self.root, upsert_key=("id",), planned_rows=1_000_000),
        ).begin()
        for index in self.data.draw(st.permutations(range(len(self.partitions))), label="partitions"):
            with load.mode.loader(0, index, "src") as loader:
                done = loader.resume.rows_done
            for start in range(done, self.partitions[index].height, 4):
                step()
                load.write(self.partitions[index].slice(start, 4), partition=index)
        counts: list[Resume] = []
        for index in self.data.draw(st.permutations(range(load.mode.publications())), label="buckets"):
            step()
            counts.append(load.mode.publish(0, index, load._on_publish))
        step()
        load.mode.finish()
        step()
        return Resume(
            rows_loaded=sum(count.rows_loaded for count in counts),
            rows_skipped=sum(count.rows_skipped for count in counts),
            rows_failed=sum(count.rows_failed for count in counts),
        )


def generated(test: Any) -> Any:
    relaxed = settings(
        max_examples=examples(20),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    arguments = given(
        events=EVENTS,
        before=BEFORE,
        cuts=st.lists(st.integers(0, 25), max_size=3),
        lives=st.lists(st.integers(0, 12), max_size=2),
        data=st.data(),
    )
    return relaxed(arguments(test))


def filled(sql: Table, definition: str, before: dict[int, int]) -> None:
    sql(f"DROP TABLE IF EXISTS t; CREATE TABLE t ({definition})")
    for key, value in before.items():
        sql(f"INSERT INTO t (id, n) VALUES ({key}, {value})")


@generated
def test_upsert_is_a_dictionary_that_is_updated(
    database_url: str,
    sql: Table,
    events: list[Event],
    before: dict[int, int],
    cuts: list[int],
    lives: list[int],
    data: st.DataObject,
) -> None:
    filled(sql, "id bigint PRIMARY KEY, n bigint", before)
    counted = Chain("upsert", database_url, sql, events, cuts, data).run(lives)
    given_rows = {key: value for _, key, value in events}
    assert dict(sql("SELECT id, n FROM t")) == before | given_rows
    assert counted == Resume(rows_loaded=len(given_rows), rows_skipped=len(events) - len(given_rows))


@generated
def test_cdc_mirror_is_a_dictionary_that_forgets(
    database_url: str,
    sql: Table,
    events: list[Event],
    before: dict[int, int],
    cuts: list[int],
    lives: list[int],
    data: st.DataObject,
) -> None:
    filled(sql, "id bigint PRIMARY KEY, n bigint", before)
    counted = Chain("cdc_mirror", database_url, sql, events, cuts, data).run(lives)
    last = {key: (op, value) for op, key, value in events}
    kept = {key: value for key, value in before.items() if key not in last}
    assert dict(sql("SELECT id, n FROM t")) == kept | {key: n for key, (op, n) in last.items() if op != "d"}
    applied = sum(op != "d" or key in before for key, (op, _) in last.items())
    assert counted == Resume(rows_loaded=applied, rows_skipped=len(events) - applied)


@generated
def test_scd2_is_a_dictionary_that_remembers(
    database_url: str,
    sql: Table,
    events: list[Event],
    before: dict[int, int],
    cuts: list[int],
    lives: list[int],
    data: st.DataObject,
) -> None:
    history = "valid_from timestamptz DEFAULT '-infinity', valid_to timestamptz, is_current boolean DEFAULT true"
    filled(sql, f"id bigint, n bigint, {history}", before)
    counted = Chain("scd2", database_url, sql, events, cuts, data).run(lives)
    given_rows = {key: value for _, key, value in events}
    changed = {key for key, value in given_rows.items() if before.get(key) != value}
    assert dict(sql("SELECT id, n FROM t WHERE is_current")) == before | given_rows
    assert counted == Resume(rows_loaded=len(changed), rows_skipped=len(events) - len(changed))
    closed = sorted((key, before[key]) for key in changed if key in before)
    assert sql("SELECT id, n FROM t WHERE NOT is_current AND valid_to IS NOT NULL ORDER BY id") == closed
    assert sql("SELECT count(*) FROM t WHERE is_current AND valid_to IS NOT NULL") == [(0,)]
