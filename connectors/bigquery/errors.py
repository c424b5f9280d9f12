"""Turns errors of BigQuery into SourceErrors with a code and a hint."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from headrace.connectors.errors import SourceError

_SWITCH_ON = "Switch the API on: gcloud services enable bigquery.googleapis.com bigquerystorage.googleapis.com."
_RIGHTS = (
    ("bigquery.jobs.", "Give the service account the role BigQuery Job User in the project."),
    ("bigquery.readsessions.", "Give the service account the role BigQuery Read Session User in the project."),
    ("bigquery.tables.", "Give the service account the role BigQuery Data Viewer on the dataset."),
    ("bigquery.datasets.", "Give the service account the role BigQuery Data Viewer on the dataset."),
    ("has not been used in project", _SWITCH_ON),
    ("service_disabled", _SWITCH_ON),
    ("billing", "Switch billing on in the project."),
)
_ROLES = (
    "Give the service account BigQuery Data Viewer on the dataset, and BigQuery Job User and BigQuery Read Session "
    "User in the project."
)
_AGAIN = frozenset(("backenderror", "internalerror", "ratelimitexceeded", "jobbackenderror", "jobinternalerror"))
_BEYOND = frozenset(("quotaexceeded", "resourcesexceeded", "responsetoolarge", "billingtierlimitexceeded"))


def said(text: object) -> str:
    """The message in one line, without addresses and request ids."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    line = re.sub(r"\bhttps?://\S+", "its address", line)
    line = re.sub(r"\s*\(?(?:Job ID|Request ID|requestId|reference)[:=] ?[\w.:-]+\)?", "", line, flags=re.IGNORECASE)
    return line[:400].rstrip(". ")


def of_rest(status: int, answer: Mapping[str, Any], what: str) -> SourceError:
    """The error of a REST response: `{"error": {"message", "errors": [{"reason"}]}}`."""
    error = answer.get("error")
    error = error if isinstance(error, Mapping) else {}
    listed = error.get("errors")
    each: Any = listed[0] if isinstance(listed, list) and listed else {}
    reason = str(each.get("reason", "") if isinstance(each, Mapping) else "")
    return of_reason(reason, str(error.get("message") or f"the answer is {status}"), what, status)


def of_reason(reason: str, message: str, what: str, status: int = 0) -> SourceError:
    """The error of a job or a response, by BigQuery's reason."""
    text, word = said(message), reason.lower()
    if word in _AGAIN or status in (429, 502, 503, 504) or status == 500:
        return SourceError("connection_lost", f"BigQuery failed while {what} was read: {text}.", "Try it again.")
    if status == 401 or word in ("autherror", "unauthorized"):
        return _not_let_in(text)
    if word == "bytesbilledlimitexceeded" or "bytes billed" in text:
        return SourceError(
            "too_many_bytes",
            f"{what} is not read: {text}.",
            "Set 'maximumBytesBilled' higher, read fewer columns, or filter by the column the table is partitioned by.",
        )
    if word in _BEYOND:
        return SourceError("quota_exceeded", f"{what} cannot be read: {text}.", "Raise the quota, or read it in parts.")
    if word in ("accessdenied", "forbidden", "accessnotconfigured", "billingnotenabled") or status == 403:
        return not_permitted(text, what)
    if word == "notfound" or status == 404:
        return SourceError(
            "missing_table",
            f"{what} cannot be read: {text}.",
            "Check the names of project, dataset and table, and 'location' in the connector's config.",
        )
    if word in ("stopped", "timeout") or "timeout" in text.lower() or "timed out" in text.lower():
        return SourceError(
            "timed_out", f"BigQuery gave up on {what}: {text}.", "Set 'timeoutSeconds' higher, or make it faster."
        )
    return SourceError("query_failed", f"{what} cannot be read: {text}.")


def of_stream(code: str, details: object, what: str, expires: float | None = None) -> SourceError:
    """The error of the Storage Read API, by the name of gRPC's status; `expires` is the end of the stream's session."""
    text = said(details)
    if code == "UNAUTHENTICATED":
        return _not_let_in(text)
    if code == "PERMISSION_DENIED":
        return not_permitted(text, what)
    if expires is not None and (
        code == "NOT_FOUND" or "expired" in text.lower() or (code == "FAILED_PRECONDITION" and time.time() > expires)
    ):
        return SourceError(
            "session_expired",
            f"BigQuery has the session in which {what} was read no more: it keeps one for some hours ({text}).",
            "The rest of its rows cannot be read as they were. Start a new run; with a cursor it continues after the "
            "rows that are loaded.",
        )
    if code == "NOT_FOUND":
        return SourceError("missing_table", f"{what} cannot be read: {text}.", "Check its name.")
    if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"):
        remedy = ""
        if "filter" in text.lower() and "partition" in text.lower():
            remedy = "The table wants a filter on the column it is partitioned by: read a query, or with a cursor."
        return SourceError("query_failed", f"{what} cannot be read: {text}.", remedy)
    return SourceError(
        "connection_lost", f"The connection was lost while {what} was read: {text} ({code}).", "Try it again."
    )


def not_permitted(text: str, what: str) -> SourceError:
    """The error with the missing role."""
    remedy = next((remedy for sign, remedy in _RIGHTS if sign in text.lower()), _ROLES)
    return SourceError("not_permitted", f"{what} may not be read: {text}.", remedy)


def _not_let_in(text: str) -> SourceError:
    return SourceError(
        "bad_credentials",
        f"BigQuery does not let the service account in: {text}.",
        "Check that it is not disabled or deleted, and make a new key for it.",
    )
