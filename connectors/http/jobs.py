"""Asynchronous jobs of an API: a job is created, and its status polled until its results are there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.http.answers import Answer, text_at
from headrace.connectors.http.client import Api
from headrace.connectors.http.job_settings import Job, Sent, Status
from headrace.connectors.http.pages import sent_of
from headrace.connectors.http.paging import Place

_SHOWN = 300


def created(api: Api, job: Job, values: Mapping[str, str], label: str) -> dict[str, str]:
    """Creates a job and waits for it. Returns its values by placeholder: `job.id`. Raises SourceError: `job_failed`,
    `job_too_slow`, `drift`."""
    answer = api.asked(sent_of(api, job.create.request, values, Place(), f"{label} (job)"))
    return ended(api, job, values, _values(job.create, answer), label)


def ended(api: Api, job: Job, values: Mapping[str, str], own: Mapping[str, str], label: str) -> dict[str, str]:
    """Waits until a job has ended; `own` are its values so far, and those at its end are returned. Raises SourceError
    as `created`."""
    if job.status is None:
        return dict(own)
    until = time.monotonic() + job.max_minutes * 60
    while True:
        answer = api.asked(sent_of(api, job.status.request, {**values, **own}, Place(), f"{label} (status)"))
        found = text_at(answer, job.status.at)
        if found is None:
            raise SourceError("drift", f"{answer.what}: there is no '{job.status.at}'.", "Correct 'status.at'.")
        if found in job.status.done:
            return {**own, **_values(job.status, answer)}
        if found in job.status.failed:
            raise _failed(answer, job.status, found)
        waited(api, job, until, answer.what, found)


def waited(api: Api, job: Job, until: float, what: str, status: str) -> None:
    """Pauses before the next poll; `until` is a monotonic time. Raises SourceError(`job_too_slow`)."""
    if time.monotonic() + job.every_seconds > until:
        raise SourceError(
            "job_too_slow",
            f"{what}: the job is not done after {job.max_minutes:g} minutes ({status[:60]}).",
            "Raise 'maxMinutes', or read less.",
        )
    api.sleep(job.every_seconds)


def _values(sent: Sent, answer: Answer) -> dict[str, str]:
    found: dict[str, Any] = {name: text_at(answer, path) for name, path in sent.values.items()}
    for name, value in found.items():
        if value is None:
            raise SourceError(
                "drift",
                f"{answer.what}: there is no '{sent.values[name]}'.",
                f"The API gave none: see its documentation, and 'values.{name}' of the job.",
            )
    return {f"job.{name}": value for name, value in found.items()}


def _failed(answer: Answer, status: Status, found: str) -> SourceError:
    said = (text_at(answer, status.message) if status.message is not None else None) or ""
    reason = f": {' '.join(said.split())[:_SHOWN].rstrip('.')}" if said else ""
    return SourceError("job_failed", f"{answer.what}: the job ended as {found}{reason}.", "Correct the request.")
