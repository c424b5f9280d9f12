"""The report of a run, for people: what came in, what went out, what failed and where."""

from __future__ import annotations

from catalog.run_records import RejectedCell, RunSnapshot

_HEADINGS = ("rowsIn", "rowsOut", "failed", "skipped", "warned")


def run_report(pipeline_name: str, run: RunSnapshot) -> str:
    """Markdown: totals, a line for each node, the first errors."""
    lines = [
        f"## {_cell(pipeline_name)}",
        "",
        f"Run `{run.id}` of IR version {run.ir_version}: **{run.status.replace('_', ' ')}**.",
        "",
        f"**{run.rows_out:,}** rows loaded, **{run.failed_rows:,}** failed, **{run.skipped_rows:,}** skipped "
        f"of **{run.rows_in:,}** read.",
        "",
        "| node | rows in | rows out | failed | skipped | warned |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for node, counters in run.nodes.items():
        counts = " | ".join(f"{counters.get(key, 0):,}" for key in _HEADINGS)
        lines.append(f"| {_cell(node)} | {counts} |")
    if run.first_errors:
        lines += ["", "### First errors", "", "| row | column | value | error |", "|--:|---|---|---|"]
        lines += [_error(error) for error in run.first_errors]
    return "\n".join(lines)


def _error(error: RejectedCell) -> str:
    return f"| {error.row:,} | {_cell(error.column)} | {_cell(error.value)} | {_cell(error.error)} |"


def _cell(text: str | None) -> str:
    """Text that stays inside its table cell and is not read as markup."""
    if text is None:
        return ""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")[:200]
