"""Custom functions: found by their entry point, called with their arguments, and able to fail the run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.hooks.run import HookFailed
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from tests.flows.runtime.loads import Loads

CODE = """
import psycopg

calls = []

def note(context):
    calls.append(context)
    return f"noted {context.event}"

def refuse(context):
    with psycopg.connect(context.database_url) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {context.loading}").fetchone()
    raise ValueError(f"{count} rows are too few")

def sleep(context):
    import time
    time.sleep(30)

number = 3
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with hooks, as an installer leaves it."""
    site = tmp_path / "site"
    info = site / "shop_hooks-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "shop_hooks.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-hooks\nVersion: 1.0\n")
    names = [*(f"{name} = shop_hooks:{name}" for name in ("note", "refuse", "sleep", "number")), "gone = shop_hoks:a"]
    (info / "entry_points.txt").write_text("\n".join(["[headrace.hooks]", *names]))
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("shop_hooks", None)


def function(name: str, **more: object) -> dict[str, object]:
    return {"type": "custom_function", "name": name, **more}


@pytest.mark.postgres
def test_a_function_is_reported_what_happened(loads: Loads, installed: None) -> None:
    loads.numbers(3)
    loads.run(preHook=function("note"), postHook=function("note"))
    before, after = sys.modules["shop_hooks"].calls
    assert (before.event, before.rows, before.table, before.run_id) == ("pre_load", None, "public.ds_orders", "run_1")
    assert (after.event, after.rows.loaded, after.loading) == ("post_load", 3, "public.ds_orders")
    assert [line.split(": ")[1] for line in loads.recorder.said("Hook")] == ["noted pre_load", "noted post_load"]


@pytest.mark.postgres
def test_a_function_can_keep_a_blue_green_load_from_being_swapped_in(loads: Loads, installed: None) -> None:
    loads.numbers(5)
    loads.run()
    loads.numbers(2)
    with pytest.raises(HookFailed, match=r"ValueError: 2 rows are too few\. public\.ds_orders is as it was"):
        loads.run("run_2", loadMode="blue_green", postHook=function("refuse"))
    assert len(loads.table()) == 5


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("name", "says"),
    [("sleep", "did not end within 1 s"), ("number", "is not a function"), ("gone", "cannot be imported")],
)
def test_a_function_that_does_not_do_is_reported(loads: Loads, installed: None, name: str, says: str) -> None:
    loads.numbers(1)
    with pytest.raises(HookFailed, match=says):
        loads.run(preHook=function(name, timeoutSeconds=1))
    assert loads.table() == []


@pytest.mark.postgres
def test_a_name_that_is_not_installed_is_reported_with_those_that_are(loads: Loads, installed: None) -> None:
    loads.numbers(1)
    job = loads.job(preHook=function("noted"))
    parsed = parse_ir(job.pipeline.ir)
    assert parsed.ir is not None
    (problem,) = check_types(parsed.ir)
    assert (problem.path, problem.code, problem.hint) == (
        "nodes[1].preHook.name",
        "unknown_function",
        "did you mean 'note'?",
    )
    with pytest.raises(PlanFailed, match="No function 'noted' is installed"):
        loads.run(preHook=function("noted"))
