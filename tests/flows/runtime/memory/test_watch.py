"""A process that exceeds the memory limit: it is reported once, with the node, and the kernel enforces the limit in
between."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap

import pytest

from headrace.flows.runtime.memory.current_node import node_at_work, working_on
from headrace.flows.runtime.memory.watch import OutOfMemory, explain_memory_errors, watch_memory

PRELUDE = """
import os, time
import polars as pl
from headrace.flows.runtime.memory.current_node import working_on
from headrace.flows.runtime.memory.watch import explain_memory_errors, watch_memory

def over(error):
    print(error, flush=True)
    os._exit(7)

kept = []
"""


def python(code: str, limit: str = "300MB") -> subprocess.CompletedProcess[str]:
    environment = {"HEADRACE_RUN_MEMORY_LIMIT": limit, "PYTHONPATH": ":".join(sys.path), "RUST_BACKTRACE": "0"}
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_what_grows_is_seen_and_reported_with_its_node() -> None:
    done = python(
        """
        with watch_memory(over), working_on("totals"):
            while True:
                kept.append(b"x" * 5_000_000)
                time.sleep(0.005)
        """
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("The run needed more than 300 MB of memory for the node 'totals'.")
    assert "HEADRACE_RUN_MEMORY_LIMIT" in done.stdout


@pytest.mark.slow
def test_one_allocation_beyond_all_bounds_is_refused_and_reported_with_its_node() -> None:
    done = python(
        """
        try:
            with watch_memory(over), explain_memory_errors(), working_on("pad"):
                kept.append(b"x" * 4_000_000_000)
        except Exception as error:
            print(type(error).__name__, error)
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OutOfMemory The run needed more than 300 MB of memory for the node 'pad'.")


@pytest.mark.slow
def test_native_code_gets_no_more_either() -> None:
    done = python(
        """
        with watch_memory(lambda error: None):
            pl.DataFrame({"a": ["x"]}).select(pl.col("a").str.pad_start(4_000_000_000))
        print("had it all")
        """
    )
    assert done.returncode == -6  # SIGABRT; its worker says what that means
    assert "memory allocation of" in done.stderr
    assert "had it all" not in done.stdout


def test_a_run_within_its_limit_hears_nothing_and_leaves_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_RUN_MEMORY_LIMIT", "4GB")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    reported: list[OutOfMemory] = []
    with watch_memory(reported.append):
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert reported == []


def test_what_is_worked_on_is_known_by_the_innermost_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.flows.runtime.memory.current_node._by_thread", {})  # other tests have had threads
    with working_on("outer"):
        with working_on("inner"):
            assert node_at_work() == "inner"
        assert node_at_work() == "outer"
    assert node_at_work() == ""
    with pytest.raises(OutOfMemory, match="for the node 'greedy'"), explain_memory_errors(), working_on("greedy"):
        raise MemoryError
    with working_on("later"):
        assert node_at_work() == "later"
