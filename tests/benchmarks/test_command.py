"""The command of the benchmarks: it measures for real, stores what it has measured, and the page shows it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import report, results
from benchmarks.comparison import Comparison, Way
from benchmarks.measure import Taken
from benchmarks.registry import BENCHMARKS, Program, chosen, modules
from tests.docs.pages import ROOT


@pytest.mark.slow
def test_a_table_is_copied_and_what_it_took_is_stored(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    small = ["--rows", "1000", "--rounds", "2", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "benchmarks", "postgresql/orders", *small], check=True, timeout=170, cwd=ROOT)
    stored = json.loads(out.read_text())
    found = stored["benchmarks"]["postgresql/orders"]
    [compared] = [Comparison.read(each) for each in found["comparisons"]]
    assert compared.rows == 1000
    assert compared.best == "psql | psql"
    assert all(len(rounds) == 2 for rounds in compared.taken.values())
    assert all(each.seconds > 0 and each.server > 0 for rounds in compared.taken.values() for each in rounds)
    assert compared.median("headrace", "client") > 0
    assert compared.median("headrace", "memory") > 50
    assert {"python", "polars", "postgresql", "headrace"} <= found["versions"].keys()
    assert stored["machine"]["cores"] >= 1


def _once(name: str, seconds: Sequence[float], order: list[str]) -> Way:
    left = iter(seconds)

    def once() -> Taken:
        order.append(name)
        return Taken(next(left), 1.0, 2.0, 3.0)

    return Way(name, once, plain=name != "headrace")


def test_rounds_alternate_and_the_ratio_is_to_the_fastest_plain_tool() -> None:
    order: list[str] = []
    ways = [_once(*each, order) for each in (("slow", [9, 9]), ("quick", [2, 4]), ("headrace", [6, 6]))]
    found = Comparison.of("orders", 10, 0, ways, 2)
    assert order == ["slow", "quick", "headrace", "headrace", "quick", "slow"]
    assert (found.best, found.ratio("headrace")) == ("quick", 2.0)
    assert Comparison.read(json.loads(json.dumps(found.stored()))) == found


def test_a_benchmark_that_is_measured_again_replaces_its_result_only(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    for name, value in (("append/orders", 1), ("upsert", 2), ("append/orders", 3)):
        results.add(out, {"cores": 2}, name, {"value": value})
    assert results.read(out)["benchmarks"] == {"append/orders": {"value": 3}, "upsert": {"value": 2}}


def test_names_choose_and_peers_are_left_out_unless_asked_for() -> None:
    assert list(chosen(["upsert", "append"], with_peers=False)) == [
        "upsert", "append/orders", "append/lineitem", "append/flights", "append/text"
    ]  # fmt: skip
    everything = chosen([], with_peers=False)
    assert set(BENCHMARKS) - set(everything) == {"peers/orders", "peers/lineitem"}
    assert chosen([], with_peers=True) == BENCHMARKS
    assert "peers/orders" in chosen(["peers"], with_peers=False)
    with pytest.raises(KeyError):
        chosen(["appendix"], with_peers=False)


def test_every_module_with_a_command_is_a_benchmark() -> None:
    found = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "\ndef main(" in path.read_text()}
    assert found - {"__main__", "plain"} <= modules()
    assert {what.module for what in BENCHMARKS.values() if isinstance(what, Program)} <= found


def test_the_page_says_where_headrace_loses_and_sets_results_of_a_busy_machine_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [_once(*each, []) for each in (("psql \\copy", [2.0]), ("headrace", [1.0]), ("headrace, 3 ops", [3.0]))]
    compared = Comparison.of("orders, no index", 10, 10, ways, 1)
    machine = {"processor": "P", "cores": 2, "memory": 8, "system": "Linux"}
    about = {"measured": "2026-12-01 03:00 UTC", "load": [9.5, 10.0], "versions": {"python": "3"}, "rounds": 1}
    quiet, busy = {**about, "others": 3}, {**about, "others": 90}
    results.add(tmp_path / "p.json", machine, "append/orders", {**quiet, "comparisons": [compared.stored()]})
    other = {**compared.stored(), "subject": "busy table"}
    results.add(tmp_path / "p.json", machine, "append/text", {**busy, "comparisons": [other]})
    points = [
        {"x": x, "units": x / 1e6, "taken": [Taken(1, x / 1e6, x * n / 1e6, 9)._asdict()]}
        for n, x in ((1, 1e6), (3, 2e6))
    ]
    results.add(tmp_path / "p.json", machine, "growth/rows", {**quiet, "curve": {"points": points}})
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    made = report.pages()
    page = made["performance.md"]
    assert "In 1 of 2 loads" in page
    assert "- orders, no index (3 ops): 1.50 times `psql \\copy`" in page
    assert "### Measured while other programs ran" in page
    assert "busy table" in page.partition("### Measured while other programs ran")[2]
    assert "busy table" not in "".join(made[name] for name in made if name.endswith(".svg"))
    assert "CPU seconds per million rows go from 2.00 to 4.00 (2.00 times" in page
    plots = [name for name in made if name.endswith(".svg")]
    assert len(plots) == 3
    for name in plots:
        assert f"]({name})" in page
        assert ElementTree.fromstring(made[name]).tag.endswith("svg")
