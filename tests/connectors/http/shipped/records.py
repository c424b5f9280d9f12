"""Records for the fakes of web services: a value of its kind for each described column."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from headrace.connectors.http.shipped.documents import shipped_documents

DAY = 86_400
BEGIN = 1_767_225_600
"""2026-01-01 in seconds since 1970."""
Record = dict[str, Any]

_VALUES: dict[str, Any] = {
    "text": "text é",
    "json": {"of": ["it", 1.50]},
    "boolean": True,
    "bigint": 12_345_678_901_234,
    "double": 0.25,
    "date": "2026-01-02",
    "timestamptz": "2026-01-02T03:04:05Z",
}


def endpoint(name: str, stream: str) -> Record:
    """A stream of a document that comes with Headrace."""
    found: Record = next(each for each in shipped_documents()[name]["endpoints"] if each["id"] == stream)
    return found


def records(name: str, stream: str, count: int, *, begin: int = 1) -> list[Record]:
    """Records with a key of their number."""
    described = endpoint(name, stream)["fields"]
    return [_record(described, endpoint(name, stream)["key"], number) for number in range(begin, begin + count)]


def _record(described: Record, key: list[str], number: int) -> Record:
    made = {
        each: "12.340000" if kind.startswith("decimal") else deepcopy(_VALUES[kind]) for each, kind in described.items()
    }
    for each in key:
        value: Any = number if described.get(each) == "bigint" else f"id_{number:06}"
        outer, _, inner = each.partition(".")
        made[outer] = {inner: number} if inner else value
    return made


def moment(number: int) -> str:
    """A time that grows with a number: one minute each."""
    return f"2026-{1 + number // 40_320:02}-{1 + number // 1440 % 28:02}T{number // 60 % 24:02}:{number % 60:02}:00Z"


def at(record: Record, path: str) -> Any:
    """The value at a path."""
    value: Any = record
    for step in path.split("."):
        value = value[step]
    return value


def put(record: Record, path: str, value: Any) -> None:
    """Sets the value at a path; what is around it is an object."""
    outer, _, inner = path.partition(".")
    if not inner:
        record[outer] = value
        return
    if not isinstance(record.get(outer), dict):
        record[outer] = {}
    put(record[outer], inner, value)
