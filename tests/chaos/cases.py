"""The loads of the chaos tests: one file with good, bad and repeated rows, a pipeline per load mode."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.rest import Api

FIELDS = [
    {"name": "id", "dataType": "bigint", "isNullable": False},
    {"name": "amount", "dataType": "integer"},
    {"name": "name", "dataType": "text"},
    {"name": "day", "dataType": "date"},
]


@dataclass(frozen=True)
class Case:
    """A load mode, what its target node says besides, and the SQL that makes its table and its first rows."""

    mode: str
    target: dict[str, Any] = field(default_factory=dict)
    table: str = ""
    before: str = ""


_OLD = "INSERT INTO {table} (id, amount, name, day) SELECT n, -n, 'old', '2000-01-01' FROM generate_series(1, 3000) n"
_CHECK = "ALTER TABLE {table} ADD CHECK (amount < 99990)"
_KEY = "ALTER TABLE {table} ADD UNIQUE (id)"

CASES = (
    Case("append", table=_CHECK),
    Case("upsert", {"upsertKey": ["id"]}, table=_KEY, before=_OLD),
    Case("replace", table=_CHECK, before=_OLD),
    Case("blue_green", table=_CHECK, before=_OLD),
    Case("incremental_watermark", {"watermarkColumn": "id"}, table=_CHECK),
)


def write_file(path: Path, rows: int, *, repeat: bool) -> None:
    """Rows of which one in 300 is broken in some way; with `repeat` one in ten has the id of an earlier one."""
    chance = random.Random(1)
    lines = ["id,amount,name,day"]
    for number in range(1, rows + 1):
        key = chance.randint(1, number) if repeat and chance.random() < 0.1 else number
        amount: object = chance.randint(0, 100_000)
        kind = chance.random()
        day = f"20{chance.randint(10, 25)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        if kind < 0.001:
            amount = "many"
        elif kind < 0.002:
            day = "yesterday"
        elif kind < 0.003:
            amount = -1
        lines.append(f"{key},{amount},name {number} {'x' * chance.randint(0, 200)},{day}")
    path.write_text("\n".join(lines) + "\n")


class Loaded(Api):
    """The pipeline of a case on a stack."""

    def __init__(self, stack: Any, case: Case, rows: int, direct_url: str) -> None:
        self.case, self._direct = case, direct_url
        super().__init__(
            stack,
            None,
            fields=[{"name": each["name"], "dataType": each["dataType"]} for each in FIELDS],
            nodes=[
                {
                    "id": "clean",
                    "kind": "transform",
                    "ops": [{"type": "expression", "field": "name", "expression": "upper(name)"}],
                },
                {
                    "id": "check",
                    "kind": "validate",
                    "rowLevel": [{"id": "positive", "field": "amount", "rule": "gte:0", "onFail": "quarantine"}],
                    "quarantine": {"table": f"dlq.{case.mode}"},
                },
            ],
            execution={"batchSize": 1000, "parallelism": 2},
            errorHandling={"retry": {"maxAttempts": 3, "backoff": "exponential"}},
        )
        write_file(self.file, rows, repeat=case.mode == "upsert")
        schema = self.make("/schemas", {"name": f"{self.name}_t", "displayName": self.name, "fields": FIELDS})
        self.table = f"public.{schema['tableName']}"
        self.body["schemaId"] = schema["id"]
        self.body["ir"]["nodes"][-1].update({"schema": self.table, "loadMode": case.mode, **case.target})
        if case.table:
            self.sql(case.table)
        self.create()

    def reset(self) -> None:
        """The table, its quarantine and the ledger as they were before the first run."""
        self.sql("TRUNCATE {table}")
        self.sql(f"DO $$ BEGIN IF to_regclass('dlq.{self.case.mode}') IS NOT NULL THEN "
                 f"TRUNCATE dlq.{self.case.mode}; END IF; END $$")  # fmt: skip
        self.sql("DO $$ BEGIN IF to_regclass('_headrace.watermarks') IS NOT NULL THEN "
                 f"DELETE FROM _headrace.watermarks WHERE pipeline_id = '{self.pipeline}'; END IF; END $$")  # fmt: skip
        if self.case.before:
            self.sql(self.case.before)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Queries PostgreSQL directly, without a proxy."""
        with psycopg.connect(self._direct, autocommit=True) as connection:
            cursor = connection.execute(statement.format(table=self.table))  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []
