"""The memory limit of a run, configured and by default."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from headrace.catalog.settings import limits
from headrace.catalog.sizes import format_bytes, parse_bytes
from headrace.flows.runtime.memory import limit as memory

GB = 1024**3


@pytest.fixture(autouse=True)
def nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_RUN_MEMORY_LIMIT", "HEADRACE_RUNS_AT_ONCE"):
        monkeypatch.delenv(name, raising=False)
    memory.set_memory_limit(None)


@pytest.mark.parametrize(
    ("machine", "at_once", "limit"),
    [(16 * GB, "0", 3 * GB), (16 * GB, "2", 6 * GB), (2 * GB, "0", 1 * GB), (1 * GB, "0", 3 * GB // 4)],
)
def test_a_run_has_its_share_and_a_gigabyte_while_there_is_one(
    machine: int, at_once: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: machine)
    monkeypatch.setenv("HEADRACE_RUNS_AT_ONCE", at_once)
    assert memory.memory_limit() == limit


def test_what_the_operator_says_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 10 * GB)
    monkeypatch.setenv("HEADRACE_RUN_MEMORY_LIMIT", "2GB")
    assert memory.memory_limit() == 2 * GB
    monkeypatch.setenv("HEADRACE_RUN_MEMORY_LIMIT", "20%")
    assert memory.memory_limit() == 2 * GB
    memory.set_memory_limit(5)
    assert memory.memory_limit() == 5
    memory.set_memory_limit(None)


@pytest.mark.parametrize("wrong", ["lots", "-1GB", "1e9", "120%", "12MB", "2GBB"])
def test_what_is_no_size_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_RUN_MEMORY_LIMIT", wrong)
    with pytest.raises(ValidationError):
        limits()


def test_a_container_has_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    (tmp_path / "self").mkdir()
    group = tmp_path / "cgroup" / "kubepods" / "pod1"
    group.mkdir(parents=True)
    (tmp_path / "self" / "cgroup").write_text("0::/kubepods/pod1\n")
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("123456789\n")
    assert memory.machine_memory() == 123456789
    (tmp_path / "self" / "cgroup").write_text("4:memory:/docker/abc\n3:cpu:/docker/abc\n")
    (tmp_path / "cgroup" / "memory").mkdir()
    (tmp_path / "cgroup" / "memory" / "memory.limit_in_bytes").write_text("987654321\n")
    assert memory.machine_memory() == 987654321


def test_sizes_are_read_and_written() -> None:
    assert parse_bytes("1.5 GiB", whole=0) == 3 * GB // 2
    assert parse_bytes("1048576", whole=0) == 1024**2
    assert format_bytes(3 * GB // 2) == "1.5 GB"
    assert format_bytes(512 * 1024**2) == "512 MB"
