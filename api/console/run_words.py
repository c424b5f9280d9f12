"""The state of a run in words: what it is, why, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.api.console.formats import number, percent, status_words, tone
from headrace.api.runs.progress import eta, statistics_of
from headrace.catalog.runs.records import RunSnapshot
from headrace.flows.prefect.names import CANCELLED
from headrace.flows.prefect.report import what_was_kept
from headrace.flows.resume.continuation import not_replayed
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.errors import RunFailed


@dataclass(frozen=True, slots=True)
class Sentences:
    """`state` in a few words and its `tone`; `why` and `todo` are sentences, empty where there is nothing to say."""

    state: str
    tone: str
    why: str
    todo: str


def explained(run: RunSnapshot) -> Sentences:
    """The words for a run."""
    if run.skip_reason is not None:
        return Sentences("Skipped", "calm", _sentence(run.skip_reason), "It never began.")
    state, colour = status_words(run.status), tone(run.status)
    match run.status:
        case "pending":
            waits = [line.message for line in run.log if line.stage == "queue"]
            why = _sentence(waits[-1]) if waits else "It has not begun: a worker of the pool has to take it."
            return Sentences(state, colour, why, "If it stays like this, see whether a worker runs: headrace doctor.")
        case "running":
            return Sentences(state, colour, _under_way(run), "")
        case "completed":
            return Sentences(state, colour, _completed(run), "")
        case "completed_with_errors":
            if run.failed_rows == run.rows_in:
                return Sentences(state, colour, f"All {number(run.rows_in)} rows failed.", _after_errors(run))
            share = percent(run.failed_rows, run.rows_in)
            why = f"{number(run.failed_rows)} of {number(run.rows_in)} rows failed ({share}); the others are done."
            return Sentences(state, colour, why, _after_errors(run))
    if run.failure_reason == CANCELLED:
        return Sentences("Cancelled", "calm", "Somebody cancelled it.", what_was_kept(run))
    return Sentences(state, colour, _sentence(run.failure_reason or "The reason is not known"), what_was_kept(run))


def can_be_retried(run: RunSnapshot) -> bool:
    """Whether a retry is offered: whether it is possible is checked when it is asked for."""
    if run.skip_reason is not None:
        return False
    return run.status == "failed" or (run.status == "completed_with_errors" and _plan(run).replayable)


def _under_way(run: RunSnapshot) -> str:
    if run.lags is not None:
        return f"It follows its sources; {number(run.rows_in)} rows so far."
    done, left = statistics_of(run), eta(run)
    share = percent(done.processed_rows, done.total_rows)
    text = f"{number(done.processed_rows)} of {number(done.total_rows)} rows are done ({share})"
    return f"{text}, about {_spoken(left)} left." if left is not None else f"{text}."


def _spoken(left: str) -> str:
    amount, unit = left[:-1], {"s": "s", "m": "min", "h": "h"}[left[-1]]
    return f"{amount} {unit}"


def _completed(run: RunSnapshot) -> str:
    if not run.rows_in:
        return "There were no new rows."
    if run.rows_in == run.rows_out and not run.skipped_rows:
        return f"All {number(run.rows_in)} rows that were read are loaded."
    skipped = f", and {number(run.skipped_rows)} were skipped by filters and rules" if run.skipped_rows else ""
    return f"Of {number(run.rows_in)} rows that were read, {number(run.rows_out)} are loaded{skipped}; none failed."


def _after_errors(run: RunSnapshot) -> str:
    plan = _plan(run)
    if not plan.replayable:
        return not_replayed(plan.entangling)
    return "Correct the rule or the op, publish the new version, then retry: only the failed rows run again."


def _plan(run: RunSnapshot) -> StoredPlan:
    try:
        return StoredPlan.of(run.plan) or StoredPlan()
    except RunFailed:  # of a later release
        return StoredPlan(replayable=False)


def _sentence(text: str) -> str:
    joined = " ".join(text.split())
    return joined[:1].upper() + joined[1:] + ("" if joined.endswith((".", "!", "?")) else ".")
