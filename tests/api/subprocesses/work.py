"""Jobs for child processes in tests: too much memory, too slow, too large, failing."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import polars as pl
import pyarrow as pa

from headrace.connectors.errors import SourceError
from headrace.flows.dry_run.plan import PlanFailed
from headrace.flows.runtime.memory.current_node import working_on
from headrace.flows.runtime.memory.limit import memory_limit
from headrace.ir.problems import Problem

KEPT: list[object] = []


def reported(text: str) -> bytes:
    return text.encode()


def eat_slowly(node: str) -> bytes:
    """Ten megabytes at a time, all of them used."""
    working_on(node)
    while True:
        KEPT.append(b"x" * 10_000_000)
        time.sleep(0.005)


def eat_at_once(node: str) -> bytes:
    """Two gigabytes by one native call, which the process does not survive."""
    working_on(node)
    KEPT.append(pl.DataFrame({"a": ["x"]}).select(pl.col("a").str.pad_start(2_000_000_000)))
    return b"eaten"


def eat_with_arrow() -> bytes:
    KEPT.append(pa.allocate_buffer(2_000_000_000))
    return b"eaten"


def eat_with_python() -> bytes:
    KEPT.append(b"x" * 2_000_000_000)
    return b"eaten"


def dawdle(seconds: float) -> bytes:
    time.sleep(seconds)
    return b"done"


def answer_at_length(size: int) -> bytes:
    return b"x" * size


def raise_what_a_plan_raises() -> bytes:
    raise PlanFailed([Problem("nodes[0]", "no_such_thing", "There is none.", "make one"), Problem("", "b", "c")])


def raise_what_a_source_raises() -> bytes:
    raise SourceError("file_not_found", "It is not there.", "Look elsewhere.")


def raise_a_fault() -> bytes:
    raise ZeroDivisionError("of course")


def die() -> bytes:
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""


def surroundings() -> bytes:
    """Reports on the child process: environment, open descriptors, limits, parents."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    facts = {
        "environment": sorted(os.environ),
        "descriptors": sorted(
            os.readlink(f"/proc/self/fd/{fd.name}") for fd in Path("/proc/self/fd").iterdir() if fd.exists()
        ),
        "core": Path("/proc/self/limits").read_text().split("Max core file size")[1].split()[:2],
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "leads its session": os.getsid(0) == os.getpid(),
        "threads": status["Threads"].strip(),
        "memory": memory_limit(),
    }
    return json.dumps(facts).encode()
