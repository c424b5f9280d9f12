"""The result of a run of a replication, as sentences."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.catalog.replications.records import ReplicationRunSnapshot, RunTable
from headrace.catalog.runs.records import SUCCESSFUL, RunStatus
from headrace.flows.prefect.names import CANCELLED

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status of an ended run, and the message of its final state."""

    status: RunStatus
    message: str


def outcome_of(run: ReplicationRunSnapshot) -> Outcome:
    """How a run ends all of whose tables have ended."""
    counts = run.counts()
    copied = run.copied
    completed = [each for each in copied if each.status in SUCCESSFUL]
    others = [each for each in copied if each.status not in SUCCESSFUL]
    loaded, failed = sum(each.rows_out for each in copied), sum(each.failed_rows for each in copied)
    rows = f"{loaded:,} rows loaded" + (f", {failed:,} failed" if failed else "")
    if not others:
        status: RunStatus = "completed_with_errors" if counts["completed_with_errors"] else "completed"
        return Outcome(status, f"{_tables(len(completed))} copied: {rows}")
    listed = "; ".join(f"{each.name}: {each.message or each.status}" for each in others[:_NAMED])
    more = f"; and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    done = f"{len(completed)} of {_tables(len(copied))} copied ({rows})"
    return Outcome("failed", f"{done}; not copied: {listed}{more}")


def child_message(status: str, reason: str | None) -> str | None:
    """The message about a table whose run has ended."""
    if status in SUCCESSFUL:
        return None
    return "its run was cancelled" if reason == CANCELLED else reason or "its run failed"


def report(run: ReplicationRunSnapshot, name: str, result: Outcome, most: int = 500) -> str:
    """The report of a run, as Markdown: the tables that were not copied first."""
    lines = [f"# {_escaped(name)}", "", f"**{result.status}**: {_escaped(result.message)}", ""]
    lines += ["| table | status | rows in | loaded | failed | skipped | |", "|---|---|--:|--:|--:|--:|---|"]
    ordered = sorted(run.tables, key=lambda each: (each.status in SUCCESSFUL, each.name))
    lines += [_line(each) for each in ordered[:most]]
    if len(ordered) > most:
        lines += ["", f"and {len(ordered) - most:,} more"]
    return "\n".join(lines) + "\n"


def _line(table: RunTable) -> str:
    status = table.change if table.status == "not_run" else table.status
    counts = (table.rows_in, table.rows_out, table.failed_rows, table.skipped_rows)
    cells = [_escaped(table.name), status, *(f"{count:,}" for count in counts), _escaped(table.message or "")]
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in "\\|*_`<>[]#" else letter for letter in line)


def _tables(count: int) -> str:
    return f"{count:,} table{'' if count == 1 else 's'}"
