"""The page of a streaming run: what somebody who is called at night sees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headrace.catalog.runs.records import SourceLag
from headrace.flows.prefect.stream_page import StreamPage
from headrace.flows.runtime.execution_config import ExecutionConfig

BEGAN = datetime(2026, 1, 31, 2, 0, tzinfo=UTC)
NOW = BEGAN + timedelta(minutes=10)
RUN, OTHER = "run_0123456789abcdef0123456789abcdef", "run_fedcba9876543210fedcba9876543210"
LINK = f"[{OTHER}](/runs/flow-run/fedcba98-7654-3210-fedc-ba9876543210)"


def page(before: str | None = None, **config: int) -> StreamPage:
    execution = ExecutionConfig.of({"mode": "streaming", "rolloverSeconds": 1800, **config})
    return StreamPage("Orders", RUN, "http://127.0.0.1:1/api/v1", BEGAN, execution, before)


def behind(seconds: float | None) -> dict[str, SourceLag]:
    return {"src": SourceLag(1234, None if seconds is None else NOW - timedelta(seconds=seconds))}


def test_it_says_how_far_behind_each_source_is_and_when_the_next_run_follows() -> None:
    text = page().markdown(behind(1.2), 5678, NOW)
    assert text.startswith("## Orders: 1.2 s behind\n")
    assert "| src | 1,234 | 1.2 s |" in text
    assert "| **as of** | 2026-01-31 02:10:00 UTC; 5,678 rows read by this run since 2026-01-31 02:00:00 UTC |" in text
    assert "| **run after** | follows at 2026-01-31 02:30:00 UTC (rolloverSeconds)" in text
    assert "none: this one began the stream" in text
    assert f"http://127.0.0.1:1/runs/{RUN}" in text
    assert "What to look at" not in text


def test_a_stream_beyond_its_limit_says_so_first_and_what_to_look_at() -> None:
    watched = page(maxLagSeconds=60)
    assert watched.heading(behind(599), NOW) == "Orders: 10 min behind, more than maxLagSeconds (60)"
    assert "What to look at" in watched.markdown(behind(599), 0, NOW)
    assert "What to look at" not in watched.markdown(behind(59), 0, NOW)
    assert watched.heading(behind(None), NOW) == "Orders: not known how far behind"


def test_runs_of_a_stream_link_to_each_other() -> None:
    reason = "is followed by another run after 1,800 s (rolloverSeconds)"
    old = page().markdown(behind(1), 0, NOW, ended=reason, after=OTHER)
    assert f"| **ended** | {reason} |" in old
    assert f"| **run after** | {LINK} |" in old
    assert f"| **run before** | {LINK} |" in page(before=OTHER).markdown(behind(1), 0, NOW)
    assert "none yet" in page().markdown(behind(1), 0, NOW, ended="ends: the pipeline is paused")


def test_names_cannot_be_markup() -> None:
    named = StreamPage("[x](http://evil)|<b>", RUN, "", BEGAN, ExecutionConfig.of({}), None)
    assert r"\[x\](http://evil)\|\<b\>" in named.markdown({}, 0, NOW)
