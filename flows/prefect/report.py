"""The report of a run as Markdown, and the completion message of a partition task."""

from __future__ import annotations

from collections.abc import Collection

from headrace.catalog.runs.records import DatasetRuleOutcome, RejectedCell, RunSnapshot
from headrace.connectors.target import Resume
from headrace.flows.compile.stages.stage import Load, ShuffleWrite, Stage
from headrace.flows.prefect.names import CANCELLED
from headrace.flows.resume.continuation import not_replayed
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.deletes.comparison import DELETED, RETURNED
from headrace.flows.runtime.transform.row_counts import SENT_AGAIN

_HEADINGS = {"rowsIn": "rows in", "rowsOut": "rows out", **{key: key for key in ("failed", "skipped", "warned")}}
_OF_COMPARISONS = (DELETED, RETURNED)
"""Counters that a report has only where keys were compared."""
_MAX_SENTENCE = 1000
_MAX_NOTES = 50


def run_report(pipeline_name: str, run: RunSnapshot, note: str = "", *, api_url: str = "") -> str:
    """The report: outcome, `note`, totals, facts of the run, counts of each node, dataset rules, notes, first errors.

    `api_url` (up to `/api/v1`) is the base of its curl commands, which take the API key from the environment; its links
    lead to pages of the console.
    """
    page = f"{console_url(api_url)}/runs/{run.id}"
    path = f"{api_url}/pipelines/{run.pipeline_id}/runs/{run.id}"
    plan = StoredPlan.of(run.plan) or StoredPlan()
    lines = [
        f"## {cell(pipeline_name)}: {outcome(run)}",
        "",
        *([cell(note, _MAX_SENTENCE), ""] if note else []),
        f"**{run.rows_out:,}** rows loaded, **{run.failed_rows:,}** failed, **{run.skipped_rows:,}** skipped "
        f"of **{run.rows_in:,}** read.",
    ]
    if run.status == "failed":
        lines += ["", *_failure(run, path)]
    head, *rest = (f"| {name} | {value} |" for name, value in _circumstances(run, console_url(api_url)))
    lines += [
        "",
        head,
        "|---|---|",
        *rest,
    ]
    if run.nodes:
        kinds = [*_HEADINGS, *(key for key in _OF_COMPARISONS if any(key in each for each in run.nodes.values()))]
        titles = " | ".join(_HEADINGS.get(key, key) for key in kinds)
        lines += ["", f"| node | {titles} |", f"|---|{'--:|' * len(kinds)}"]
        for node, counters in run.nodes.items():
            counts = " | ".join(f"{counters.get(key, 0):,}" for key in kinds)
            lines.append(f"| {cell(node)} | {counts} |")
    for node, counters in run.nodes.items():
        if again := counters.get(SENT_AGAIN, 0):
            what = f"rows of {cell(node)} were sent again after requests without an answer"
            lines += ["", f"**{again:,}** {what}: the API may have them twice. The run's log names them."]
    if run.rules:
        lines += ["", "### Dataset rules", "", "| node | wanted | found | |", "|---|---|---|---|"]
        lines += [_rule(rule) for rule in run.rules]
    if notes := plan.notes:
        lines += ["", "### Notes", "", *(f"- {cell(note, _MAX_SENTENCE)}" for note in notes[:_MAX_NOTES])]
    if run.first_errors:
        lines += ["", "### First errors", "", "| row | column | value | error |", "|--:|---|---|---|"]
        lines += [_error(error) for error in run.first_errors]
        lines += ["", f"All of them: [{page}/errors]({page}/errors), or as CSV", "", *_command(f"{path}/errors", "csv")]
        if run.status == "completed_with_errors" and not plan.replayable:
            lines += ["", f"{cell(not_replayed(plan.entangling), _MAX_SENTENCE)}"]
        elif run.status == "completed_with_errors":
            lines += ["", "Correct the rule or the op, then run the failed rows again:", "", *_command(f"{path}/retry")]
    return "\n".join(lines)


def console_url(api_url: str) -> str:
    """The console of an API: its address without the base path."""
    return api_url.removesuffix("/api/v1")


def outcome(run: RunSnapshot) -> str:
    """The status for display. A cancelled run is `cancelled` here, while the API reports it as failed."""
    return CANCELLED if run.failure_reason == CANCELLED else run.status.replace("_", " ")


def seconds_of(run: RunSnapshot) -> float | None:
    """The duration of the run in seconds; None before it began."""
    if run.started_at is None:
        return None
    return ((run.finished_at or run.observed_at) - run.started_at).total_seconds()


def what_was_kept(run: RunSnapshot) -> str:
    """What a run that failed left in its tables, and what to do next."""
    if run.aborted and run.rows_out:
        return (
            f"{run.rows_out:,} rows that no such rule holds back are loaded, so a retry would check the same rows by "
            "the same rules again: correct the file or the rule, then start a new run."
        )
    if run.aborted:
        return (
            "No row is visible: correct the file, or save the rule as it should be. A retry reads all rows again and "
            "checks them by the live version."
        )
    if run.load_strategy == "replace":
        if run.rows_out:
            return f"{run.rows_out:,} rows were published before it failed; a retry publishes the others."
        return "The table is as it was before the run: rows are published only when all of them are there."
    if run.rows_in:
        return f"The first {run.rows_in:,} rows are committed: a retry continues after them."
    return "No row was committed: a retry starts from the beginning."


def _failure(run: RunSnapshot, path: str) -> list[str]:
    kept = what_was_kept(run)
    again = run.aborted and run.rows_out
    command = _command(f"{path.rpartition('/runs/')[0]}/run" if again else f"{path}/retry")
    if run.failure_reason == CANCELLED:
        return [kept, "", *command]
    reason = " ".join((run.failure_reason or "unknown").split())
    return [f"**Why:** {cell(reason, _MAX_SENTENCE)}", "", kept, "", *command]


def _circumstances(run: RunSnapshot, console: str) -> list[tuple[str, str]]:
    found = [
        ("run", f"[{run.id}]({console}/runs/{run.id})"),
        ("pipeline", f"[{run.pipeline_id}]({console}/pipelines/{run.pipeline_id}), IR version {run.ir_version}"),
        ("load", run.load_strategy),
    ]
    if run.retry_of is not None:
        found.append(("retry of", f"[{run.retry_of}]({console}/runs/{run.retry_of})"))
    if run.started_at is not None:
        found.append(("began", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"))
    if (seconds := seconds_of(run)) is not None:
        found.append(("took", f"{seconds:,.1f} s{_rate(run, seconds)}"))
    for node, lag in (run.lags or {}).items():
        seconds = lag.seconds(run.finished_at or run.observed_at)
        age = "not known how far behind" if seconds is None else f"at most {seconds:,.1f} s behind"
        found.append((f"lag of {cell(node)}", f"{age} at the end, {lag.rows:,} rows waiting"))
    partitions = [partition for partition in run.partitions if partition.stage >= 0]
    if partitions and run.lags is None:
        done = sum(partition.status == "completed" for partition in partitions)
        found.append(("partitions", f"{done} of {len(partitions)} completed"))
    if run.parameters:
        given = ", ".join(f"{name} = {value}" for name, value in run.parameters.items())
        found.append(("parameters", cell(given)))
    return found


def _rate(run: RunSnapshot, seconds: float) -> str:
    # A retry counts the rows of the whole chain, so its rows per second are unknown.
    counted = run.retry_of is None and seconds > 0 and run.rows_in
    return f", {run.rows_in / seconds:,.0f} rows/s" if counted else ""


def _command(url: str, kind: str = "") -> list[str]:
    given = "-H 'Accept: text/csv'" if kind == "csv" else "-X POST"
    return ["```sh", f'curl {given} -H "X-API-Key: $HEADRACE_API_KEY" {url}', "```"]


def _error(error: RejectedCell) -> str:
    return f"| {error.row:,} | {cell(error.column)} | {cell(error.value)} | {cell(error.error)} |"


def _rule(rule: DatasetRuleOutcome) -> str:
    verdict = "holds" if rule.holds else "**broken**" + (" (warning)" if rule.on_fail == "warn" else "")
    return f"| {cell(rule.node)} | {cell(rule.wants)} | {cell(rule.found)} | {verdict} |"


def cell(text: str | None, limit: int = 200) -> str:
    """Text escaped for a Markdown table cell."""
    if text is None:
        return ""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")[:limit]


def partition_message(stage: Stage, done: Resume, held: Collection[str]) -> str:
    """For example `5 rows loaded, 0 failed, 0 skipped of 5`, where the total is the rows read from the source or
    gathered. Rows for targets in `held` are counted as staged, rows for a later stage as sent on."""

    def counted(node: str, counter: str) -> int:
        return int(done.counters.get(node, {}).get(counter, 0))

    became: dict[str, int] = {}
    if gatherers := {sink.node for sink in stage.sinks if isinstance(sink, ShuffleWrite)}:
        became["sent on"] = sum(counted(node, "rowsIn") for node in gatherers)
    for sink in stage.sinks:
        if isinstance(sink, Load) and sink.id in held:
            kept = counted(sink.id, "rowsIn") - counted(sink.id, "failed") - counted(sink.id, "skipped")
            became["staged"] = became.get("staged", 0) + kept
        elif isinstance(sink, Load):
            became["loaded"] = done.rows_loaded
    total = done.rows_done if stage.source is not None else counted(stage.root_node, "rowsOut")
    if not became:
        became["measured"] = total
    (first, rows), *others = became.items()
    parts = [f"{rows:,} rows {first}", *(f"{rows:,} {kind}" for kind, rows in others)]
    return f"{', '.join(parts)}, {done.rows_failed:,} failed, {done.rows_skipped:,} skipped of {total:,}"


def publication_message(done: Resume) -> str:
    """For example `5 rows published, 0 failed, 0 skipped`; of a comparison of keys how many rows were taken."""
    for counters in done.counters.values():
        if DELETED in counters:
            return f"{counters[DELETED]:,} rows taken whose key the source has no more"
    return f"{done.rows_loaded:,} rows published, {done.rows_failed:,} failed, {done.rows_skipped:,} skipped"
