"""Query jobs: dry runs, and results, which BigQuery keeps in a temporary table for a day."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from headrace.connectors.bigquery.errors import of_reason
from headrace.connectors.bigquery.rest import Rest, understood
from headrace.connectors.bigquery.types import Described
from headrace.connectors.errors import SourceError
from headrace.connectors.specs.databases import BigQuery
from headrace.connectors.sql.relation import Scalar

SECONDS = 6 * 3600.0
"""The default time limit of a query, in seconds."""
_WAIT_MS = 10_000
_LEEWAY_S = 60
_FEW = 1000
_TYPES = {bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A text with `@name` parameters, and their bound values."""

    text: str
    values: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """A query's result: the path of the table that stores it, and its number of rows."""

    path: str
    rows: int


class Jobs:
    """Executes queries of one source. Errors are SourceErrors about `what`."""

    def __init__(self, rest: Rest, place: BigQuery, *, seconds: float, most_bytes: int | None) -> None:
        self._rest, self._place, self._seconds, self._most_bytes = rest, place, seconds, most_bytes

    def columns(self, statement: Statement, what: str) -> list[Described]:
        """Dry-runs a query without executing it. Raises SourceError, `bad_query` if BigQuery classifies it as another
        kind of statement."""
        job = self._rest.ask("POST", self._path("jobs"), what, body=self._job(statement, dry=True))
        _raise_for(job, what)
        found = job.get("statistics", {}).get("query", {})
        if found.get("statementType") != "SELECT":
            raise SourceError(
                "bad_query",
                f"BigQuery takes {what} for a statement of the kind {found.get('statementType')}.",
                "Write one SELECT or WITH statement.",
            )
        return list(found.get("schema", {}).get("fields", ()))

    def run(self, statement: Statement, what: str) -> Result:
        """Executes a query to its end. Raises SourceError, `timed_out` after its time."""
        with understood(what):
            job, rows = self._ended(statement, what)
            place = job["configuration"]["query"]["destinationTable"]
            return Result(table_path(place["projectId"], place["datasetId"], place["tableId"]), rows)

    def rows(self, statement: Statement, what: str) -> list[list[Any]]:
        """The rows of a small result, each value as text. Raises SourceError."""
        with understood(what):
            job, _ = self._ended(statement, what)
            reference = job["jobReference"]
            asked = _where(reference, maxResults=str(_FEW))
            found = self._rest.ask("GET", self._path(f"queries/{reference['jobId']}"), what, query=asked)
            return [[cell["v"] for cell in row["f"]] for row in found.get("rows", ())]

    def _ended(self, statement: Statement, what: str) -> tuple[Mapping[str, Any], int]:
        wanted = self._job(statement, dry=False)
        deadline = time.monotonic() + self._seconds
        begun = self._rest.ask("POST", self._path("jobs"), what, body=wanted)
        reference = begun.get("jobReference") or wanted["jobReference"]
        _raise_for(begun, what)
        path = self._path(f"queries/{reference['jobId']}")
        try:
            while True:
                asked = _where(reference, maxResults="0", timeoutMs=str(_WAIT_MS))
                found = self._rest.ask("GET", path, what, query=asked)
                if found.get("jobComplete", True):
                    break
                if time.monotonic() > deadline + _LEEWAY_S:
                    raise of_reason("timeout", f"it took longer than {self._seconds:.0f} s", what)
        except BaseException:
            self._cancel(reference)
            raise
        job = self._rest.ask("GET", self._path(f"jobs/{reference['jobId']}"), what, query=_where(reference))
        _raise_for(job, what)
        return job, int(found.get("totalRows") or 0)

    def _cancel(self, reference: Mapping[str, Any]) -> None:
        """Cancels the job; errors are ignored, because it may have ended."""
        path = self._path(f"jobs/{reference['jobId']}/cancel")
        with suppress(SourceError):  # the reason for cancelling is reported, not this
            self._rest.ask("POST", path, "the query", query=_where(reference))

    def _job(self, statement: Statement, *, dry: bool) -> dict[str, Any]:
        place = {"projectId": self._place.project, "datasetId": self._place.dataset}
        query: dict[str, Any] = {"query": statement.text, "useLegacySql": False, "defaultDataset": place}
        if statement.values:
            query |= {
                "parameterMode": "NAMED",
                "queryParameters": [_bound(name, value) for name, value in statement.values.items()],
            }
        if self._most_bytes is not None:
            query["maximumBytesBilled"] = str(self._most_bytes)
        return {
            "jobReference": {
                "projectId": self._place.project,
                "jobId": f"headrace_{uuid4().hex}",
                **({"location": self._place.location} if self._place.location else {}),
            },
            "configuration": {
                "query": query,
                "labels": {"application": "headrace"},
                "jobTimeoutMs": str(int(self._seconds * 1000)),
                **({"dryRun": True} if dry else {}),
            },
        }

    def _path(self, rest: str) -> str:
        return f"projects/{quote(self._place.project, safe=':')}/{rest}"


def table_path(project: object, dataset: object, table: object) -> str:
    """A table's path in the Storage Read API."""
    return f"projects/{project}/datasets/{dataset}/tables/{table}"


def _bound(name: str, value: Scalar) -> dict[str, Any]:
    kind = _TYPES.get(type(value), "STRING")
    written = {True: "true", False: "false"}[value] if isinstance(value, bool) else value
    return {
        "name": name,
        "parameterType": {"type": kind},
        "parameterValue": {"value": None if written is None else str(written)},
    }


def _where(reference: Mapping[str, Any], **more: str) -> dict[str, str]:
    location = reference.get("location")
    return {**more, **({"location": str(location)} if location else {})}


def _raise_for(job: Mapping[str, Any], what: str) -> None:
    error = job.get("status", {}).get("errorResult")
    if error:
        raise of_reason(str(error.get("reason", "")), str(error.get("message", "")), what)
