"""The report of a run reads well and cannot be broken by what rows hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from headrace.catalog.runs.records import DatasetRuleOutcome, RejectedCell, RunSnapshot
from headrace.flows.prefect.report import run_report

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def snapshot(*errors: RejectedCell) -> RunSnapshot:
    counters = {"rowsIn": 1200, "rowsOut": 1199, "failed": 1, "skipped": 0, "warned": 0}
    return RunSnapshot(
        id="run_1",
        tenant_id="default",
        pipeline_id="pipe_1",
        ir_version=3,
        root_run_id="run_1",
        retry_of=None,
        origin_run_id=None,
        parameters={},
        status="completed_with_errors",
        load_strategy="append",
        total_rows=1200,
        rows_in=1200,
        rows_out=1199,
        failed_rows=1,
        skipped_rows=0,
        failure_reason=None,
        rules=(
            DatasetRuleOutcome(
                "check", "nodes[1].datasetLevel.rowCount", "at most 9 rows", "1,200 rows", False, "warn"
            ),
        ),
        fingerprint=None,
        plan=None,
        created_at=NOW,
        started_at=NOW,
        measured_from=NOW,
        finished_at=NOW,
        touched_at=NOW,
        observed_at=NOW,
        partitions=(),
        nodes={"src": counters},
        first_errors=errors,
        log=(),
    )


def test_it_reports_totals_nodes_and_first_errors() -> None:
    report = run_report("Orders", snapshot(RejectedCell(142, "email", "not-an-email", "Invalid email format")))
    assert "**1,199** rows loaded, **1** failed, **0** skipped of **1,200** read." in report
    assert "| src | 1,200 | 1,199 | 1 | 0 | 0 |" in report
    assert "| check | at most 9 rows | 1,200 rows | **broken** (warning) |" in report
    assert "| 142 | email | not-an-email | Invalid email format |" in report


def test_values_cannot_break_the_table() -> None:
    report = run_report("a|b", snapshot(RejectedCell(1, "c", "x | y\n# z", "`e`")))
    assert "| 1 | c | x \\| y \\# z | \\`e\\` |" in report


def test_a_clean_run_has_no_errors_to_show() -> None:
    assert "First errors" not in run_report("Orders", snapshot())


def test_a_note_is_above_the_numbers_and_is_no_markup() -> None:
    report = run_report("orders", snapshot(), "Warning: a file that matches glob '*.csv' did not come")
    assert report.index("glob '\\*.csv' did not come") < report.index("rows loaded")


def test_a_run_that_somebody_cancelled_is_not_said_to_have_failed() -> None:
    stopped = replace(snapshot(), status="failed", failure_reason="cancelled")
    report = run_report("Orders", stopped, api_url="http://a")
    assert report.startswith("## Orders: cancelled\n")
    assert "Why" not in report
    assert "a retry continues after them" in report
    assert f"http://a/pipelines/pipe_1/runs/{stopped.id}/retry\n" in report


def test_what_a_dataset_rule_held_back_is_offered_to_a_retry_while_no_row_is_visible() -> None:
    broken = DatasetRuleOutcome(
        "check", "nodes[1].datasetLevel.rowCount", "at most 9 rows", "1,200 rows", False, "abort"
    )
    refused = replace(snapshot(), status="failed", failure_reason="A dataset rule does not hold", rules=(broken,))
    report = run_report("Orders", replace(refused, rows_out=0), api_url="http://a")
    assert "A retry reads all rows again and checks them by the live version" in report
    assert f"http://a/pipelines/pipe_1/runs/{refused.id}/retry\n" in report
    assert "rows are committed" not in report
    seen = run_report("Orders", replace(refused, rows_out=200), api_url="http://a")
    assert "200 rows that no such rule holds back are loaded" in seen
    assert "then start a new run" in seen
    assert "http://a/pipelines/pipe_1/run\n" in seen
    assert "/retry" not in seen


def test_what_cannot_be_run_again_by_itself_says_which_node_prevents_it() -> None:
    entangled = replace(snapshot(RejectedCell(1, "c", "x", "e")), plan={"whole": False, "entangling": "sums"})
    report = run_report("Orders", entangled)
    assert "node 'sums' brings rows together or makes several of one" in report
    assert "/retry" not in report


def test_rows_that_an_api_may_have_twice_are_reported() -> None:
    found = replace(snapshot(), nodes={"crm": {"rowsIn": 20, "rowsOut": 20, "sentAgain": 10}})
    assert "**10** rows of crm were sent again after requests without an answer" in run_report("orders", found)
    assert "sent again" not in run_report("orders", snapshot())
