"""A run waits for its files, claims them exclusively, and archives them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog.runs.records import RunPipeline
from headrace.connectors.errors import SourceError
from headrace.connectors.files.local.local_store import LocalStore
from headrace.flows.dry_run.plan import plan_run, preview_job
from headrace.flows.dry_run.preview import preview
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import OpenPartition
from headrace.flows.runtime.errors import RunFailed, SourceChanged
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.input.file_arrival import Arrival, arrive
from headrace.flows.runtime.input.inspection import check_sources
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.shop import ORDERS, Shop, many, until

pytestmark = pytest.mark.postgres

GOOD = ORDERS.replace("x", "20")
SOON = 0.0005
"""Minutes between two looks."""


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Shop:
    (tmp_path / "in").mkdir()
    return Shop(tmp_path, database_url)


def put(shop: Shop, name: str, text: str = GOOD) -> Path:
    """A file that has been there for a while."""
    path = shop.root / "in" / name
    path.write_text(text)
    os.utime(path, (path.stat().st_mtime - 60,) * 2)
    return path


def pipeline(shop: Shop, config: dict[str, Any] | None = None, **document: Any) -> RunPipeline:
    made = shop.pipeline(**document)
    made.ir["nodes"][0]["config"] = {"path": "in/", "atomicity": {}} | (config or {})
    return made


def job(shop: Shop, run_id: str = "run_1", continues: Continuation | None = None, **given: Any) -> Job:
    return Job(run_id, pipeline(shop, **given), shop.url, shop.root, continues or Continuation(run_id))


def load(shop: Shop, job: Job) -> tuple[RunTotals, Execution]:
    """A whole run as the flow does it."""
    arrival = asyncio.run(arrive(job, shop.recorder))
    assert arrival.missed is None
    try:
        execution = Execution(prepare(arrival.job), shop.recorder)
        totals = run_in_threads(execution)
    except (SourceError, RunFailed) as error:
        raise RunFailed(arrival.failed(error)) from error
    arrival.completed(execution.prepared.sources)
    return totals, execution


def tree(shop: Shop) -> list[str]:
    today = f"{datetime.now(UTC):%Y/%m/%d}"
    files = [path for path in (shop.root / "in").rglob("*") if path.is_file() and ".claims" not in path.parts]
    return sorted(path.relative_to(shop.root / "in").as_posix().replace(today, "TODAY") for path in files)


def reported(shop: Shop) -> str:
    return "\n".join(message for _, message in shop.recorder.lines)


def test_a_loaded_file_goes_to_the_archive(shop: Shop) -> None:
    put(shop, "a.csv")
    totals, execution = load(shop, job(shop))
    assert totals.rows_out == 4
    assert tree(shop) == [".archive/TODAY/a.csv"]
    assert "'in/a.csv' taken into 'in/.processing/run_1/src'" in reported(shop)
    assert "'in/a.csv' moved to 'in/.archive/" in reported(shop)
    [piece] = stored_plan(execution.prepared)["partitions"]["src"][0][2]["pieces"]
    assert piece["path"] == "in/a.csv"


def test_an_archive_node_says_where_a_loaded_file_goes(shop: Shop) -> None:
    put(shop, "a.csv")
    asked = job(shop)
    asked.pipeline.ir["nodes"][0]["config"] = {"path": "in/"}
    last = asked.pipeline.ir["nodes"][-1]["id"]
    asked.pipeline.ir["nodes"].append({"id": "arc", "kind": "archive", "input": last, "folder": "in/done/"})
    assert load(shop, asked)[0].rows_out == 4
    assert tree(shop) == ["done/a.csv"]


def test_several_files_go_together(shop: Shop) -> None:
    for number in range(3):
        put(shop, f"{number}.csv", f"id,name,amount,day\n{number},x,1,2024-01-01\n")
    totals, _ = load(shop, job(shop, config={"ordering": "process_all"}))
    assert totals.rows_out == 3
    assert tree(shop) == [f".archive/TODAY/{number}.csv" for number in range(3)]


def test_planning_and_previewing_move_nothing(shop: Shop) -> None:
    put(shop, "a.csv")
    looked = preview_job(pipeline(shop), database_url=shop.url, files_root=shop.root)
    assert plan_run(looked).estimated_rows == 4
    assert preview(looked, rows=2)[0].rows_out == 2
    assert tree(shop) == ["a.csv"]


def test_a_file_that_cannot_be_parsed_is_put_aside_and_its_retry_says_where(shop: Shop) -> None:
    put(shop, "a.csv", 'id,name,amount,day\n1,"a,1,2024-01-01\n')
    with pytest.raises(RunFailed, match=r"quote.* 'in/a.csv' moved to 'in/.failed/a.csv'\.$"):
        load(shop, job(shop))
    assert tree(shop) == [".failed/a.csv"]
    again = Continuation("run_1", retry_of="run_1")
    with pytest.raises(SourceError, match=r"'in/a.csv' is in 'in/.failed/a.csv', because it could not be read"):
        load(shop, job(shop, "run_2", again))
    with pytest.raises(RunFailed, match=r"'in/a.csv' is in 'in/.failed/a.csv'"):
        check_sources(job(shop, "", again))


def test_a_bad_file_is_put_aside_and_the_others_are_loaded_when_that_is_asked_for(shop: Shop) -> None:
    put(shop, "a.csv", "id,name,amount,day\n1,x,1,2024-01-01\n")
    put(shop, "b.csv", 'id,name,amount,day\n1,"a,1,2024-01-01\n')
    put(shop, "c.csv", "id,name,amount,day\n3,x,1,2024-01-01\n")
    totals, execution = load(shop, job(shop, config={"ordering": "process_all", "onBadFile": "skip"}))
    assert totals.rows_out == 2
    assert tree(shop) == [".archive/TODAY/a.csv", ".archive/TODAY/c.csv", ".failed/b.csv"]
    assert any("in/b.csv was left out" in remark for remark in execution.prepared.plan.notes) or "left out" in reported(
        shop
    )


def test_the_other_files_of_the_claim_are_loaded_by_the_retry(shop: Shop) -> None:
    for name in ("a.csv", "c.csv"):
        put(shop, name, f"id,name,amount,day\n{ord(name[0])},x,1,2024-01-01\n")
    put(shop, "b.csv", "")
    config = {"ordering": "process_all"}
    with pytest.raises(RunFailed, match=r"moved to 'in/.failed/b.csv'"):
        load(shop, job(shop, config=config))
    put(shop, "later.csv")
    totals, _ = load(shop, job(shop, "run_2", Continuation("run_1", retry_of="run_1"), config=config))
    assert totals.rows_out == 2
    assert "left out: 'in/b.csv' is in 'in/.failed/b.csv'" in reported(shop)
    assert tree(shop) == [".archive/TODAY/a.csv", ".archive/TODAY/c.csv", ".failed/b.csv", "later.csv"]


class Died(BaseException):
    """The process is gone."""


def until_it_dies(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Before (1, 3, …) or after (2, 4, …) each step in which the store moves or writes."""
    left = step

    def dying(name: str) -> None:
        work = getattr(LocalStore, name)

        def done(*args: Any) -> Any:
            nonlocal left
            left -= 2
            if left == -1:
                raise Died
            found = work(*args)
            if left == 0:
                raise Died
            return found

        monkeypatch.setattr(LocalStore, name, done)

    for name in ("put", "write", "remove_folder"):
        dying(name)


SKIP = {"ordering": "process_all", "onBadFile": "skip"}
BAD = 'id,name,amount,day\n1,"a,1,2024-01-01\n'


MOVED = 4
"""The step after which the bad file has been moved and that is not recorded."""


@pytest.mark.parametrize(
    "step", [MOVED, *(pytest.param(step, marks=pytest.mark.slow) for step in range(1, 23) if step != MOVED)]
)
def test_a_run_that_dies_while_it_puts_a_bad_file_aside_is_continued(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    put(shop, "a.csv", "id,name,amount,day\n1,a,1,2024-01-01\n")
    put(shop, "b.csv", BAD)
    put(shop, "c.csv", "id,name,amount,day\n3,c,1,2024-01-01\n")
    arrival = asyncio.run(arrive(job(shop, config=SKIP), shop.recorder))
    execution = Execution(prepare(arrival.job), shop.recorder)
    run_in_threads(execution)
    with monkeypatch.context() as until:
        until_it_dies(until, step)
        with pytest.raises(Died):
            arrival.completed(execution.prepared.sources)
    if step == MOVED:
        assert tree(shop) == [".failed/b.csv", ".processing/run_1/src/a.csv", ".processing/run_1/src/c.csv"]

    again = Continuation("run_1", retry_of="run_1", earlier_plan=stored_plan(execution.prepared))
    check_sources(job(shop, "", again, config=SKIP))
    totals, _ = load(shop, job(shop, "run_2", again, config=SKIP))
    assert (totals.rows_in, totals.rows_out) == (2, 2)
    assert tree(shop) == [".archive/TODAY/a.csv", ".archive/TODAY/c.csv", ".failed/b.csv"]
    assert shop.table("SELECT count(*) FROM ds_orders") == [(2,)]


def test_failed_rows_beside_a_bad_file_are_replayed_whatever_became_of_it(shop: Shop) -> None:
    put(shop, "a.csv", ORDERS)
    put(shop, "b.csv", BAD)
    cast = [{"type": "cast", "field": "amount", "to": "integer"}]
    totals, execution = load(shop, job(shop, ops=cast, config=SKIP))
    assert (totals.rows_out, totals.failed) == (3, 1)
    replay = Continuation(
        "run_2",
        retry_of="run_1",
        origin_run_id="run_1",
        earlier_plan=stored_plan(execution.prepared),
        open_rows={("src", 0): OpenPartition([2], {})},
    )
    corrected = [{"type": "expression", "field": "amount", "expression": "replace(amount, 'x', '7')"}, *cast]
    (shop.root / "in" / ".failed" / "b.csv").unlink()
    totals, _ = load(shop, job(shop, "run_2", replay, ops=corrected, config=SKIP))
    assert totals == RunTotals(1, 1, 0, 0)


def test_a_retry_without_a_bad_file_is_continued_without_it(shop: Shop) -> None:
    for name in ("a.csv", "c.csv"):
        put(shop, name, f"id,name,amount,day\n{ord(name[0])},x,1,2024-01-01\n")
    put(shop, "b.csv", BAD)
    config = {"ordering": "process_all"}
    with pytest.raises(RunFailed, match=r"moved to 'in/.failed/b.csv'"):
        load(shop, job(shop, config=config))
    retry = job(shop, "run_2", Continuation("run_1", retry_of="run_1"), config=config)
    arrival = asyncio.run(arrive(retry, shop.recorder))
    plan = stored_plan(Execution(prepare(arrival.job), shop.recorder).prepared)  # it dies before it reads a row
    (shop.root / "in" / ".failed" / "b.csv").unlink()
    again = Continuation("run_1", retry_of="run_2", earlier_plan=plan)
    totals, _ = load(shop, job(shop, "run_3", again, config=config))
    assert totals.rows_out == 2
    assert tree(shop) == [".archive/TODAY/a.csv", ".archive/TODAY/c.csv"]


def test_a_fault_of_the_pipeline_leaves_the_file_to_the_retry(shop: Shop) -> None:
    put(shop, "a.csv")
    with pytest.raises(RunFailed, match="no column 'amont'"):
        load(shop, job(shop, ops=[{"type": "filter", "expression": "amont > '1'"}]))
    assert tree(shop) == [".processing/run_1/src/a.csv"]
    put(shop, "b.csv", "id,name,amount,day\n99,later,1,2024-01-01\n")
    totals, _ = load(shop, job(shop, "run_2", Continuation("run_1", retry_of="run_1")))
    assert totals.rows_out == 4
    assert tree(shop) == [".archive/TODAY/a.csv", "b.csv"]


def test_a_run_that_died_halfway_is_continued_with_the_file_it_took(shop: Shop) -> None:
    put(shop, "a.csv", many(60_000))
    execution = {"parallelism": 2, "batchSize": 9_000}
    arrival = asyncio.run(arrive(job(shop, execution=execution), shop.recorder))
    first = Execution(prepare(arrival.job), shop.recorder)
    first.begin()
    assert 0 < until(first, rows=20_000) < 60_000
    assert tree(shop) == [".processing/run_1/src/a.csv"]
    put(shop, "b.csv", many(10))

    plan = stored_plan(first.prepared)
    again = Continuation("run_1", retry_of="run_1", earlier_plan=plan)
    check_sources(job(shop, "", again, execution=execution))
    totals, _ = load(shop, job(shop, "run_2", again, execution=execution))
    assert totals == RunTotals(60_000, 60_000, 0, 0)
    assert shop.table("SELECT count(*), count(DISTINCT id) FROM ds_orders") == [(60_000, 60_000)]
    assert tree(shop) == [".archive/TODAY/a.csv", "b.csv"]

    # It died after archiving the file and before reporting it: a repetition changes nothing.
    totals, _ = load(shop, job(shop, "run_3", again, execution=execution))
    assert totals == RunTotals(60_000, 60_000, 0, 0)
    assert tree(shop) == [".archive/TODAY/a.csv", "b.csv"]


def test_a_continued_run_never_takes_another_file(shop: Shop) -> None:
    path = put(shop, "a.csv")
    _, execution = load(shop, job(shop))
    plan = stored_plan(execution.prepared)
    put(shop, "b.csv")
    [archived] = (shop.root / "in" / ".archive").rglob("a.csv")
    archived.rename(path.with_name("mine"))
    again = Continuation("run_1", retry_of="run_1", earlier_plan=plan)
    with pytest.raises(SourceError, match="no longer exists"):
        load(shop, job(shop, "run_2", again))
    archived.write_text(GOOD + "5,Eve,1,2024-01-05\n")
    with pytest.raises(SourceChanged):
        check_sources(job(shop, "", again))
    assert "b.csv" in tree(shop)


def test_a_replay_reads_the_archived_file_and_leaves_it_there(shop: Shop) -> None:
    put(shop, "a.csv", ORDERS)
    cast = [{"type": "cast", "field": "amount", "to": "integer"}]
    totals, execution = load(shop, job(shop, ops=cast))
    assert (totals.rows_out, totals.failed) == (3, 1)
    put(shop, "b.csv")
    replay = Continuation(
        "run_2",
        retry_of="run_1",
        origin_run_id="run_1",
        earlier_plan=stored_plan(execution.prepared),
        open_rows={("src", 0): OpenPartition([2], {})},
    )
    corrected = [{"type": "expression", "field": "amount", "expression": "replace(amount, 'x', '7')"}, *cast]
    check_sources(job(shop, "", replay, ops=corrected))
    # The pipeline says something else about its folders now; the run's plan knows where the record is.
    folders = {"atomicity": {"stagingFolder": "elsewhere", "successFolder": "done"}}
    totals, _ = load(shop, job(shop, "run_2", replay, ops=corrected, config=folders))
    assert totals == RunTotals(1, 1, 0, 0)
    assert (2, "Bob", 7) in shop.table()
    assert tree(shop) == [".archive/TODAY/a.csv", "b.csv"]


def test_a_chain_is_owned_by_its_first_run(shop: Shop) -> None:
    put(shop, "a.csv")
    asyncio.run(arrive(job(shop), shop.recorder))
    put(shop, "b.csv")
    new_root = Continuation("run_2", retry_of="run_1", first_run_id="run_1")
    assert load(shop, job(shop, "run_2", new_root))[0].rows_out == 4
    assert tree(shop) == [".archive/TODAY/a.csv", "b.csv"]


def waiting(action: str, times: int = 2, **config: Any) -> dict[str, Any]:
    return {"waitPolicy": {"maxRetries": times, "intervalMinutes": SOON, "onMissAction": action}, **config}


class Clockwork:
    """Does something each time the run says that it waits."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self.acts, self.said = list(acts), list[str]()

    async def __call__(self, sentence: str) -> None:
        self.said.append(sentence)
        if self.acts:
            self.acts.pop(0)()


def test_it_waits_until_the_file_is_there_and_says_so(shop: Shop) -> None:
    clock = Clockwork(lambda: put(shop, "b.txt"), lambda: put(shop, "a.csv"))
    config = waiting("fail", 5, pattern={"type": "glob", "value": "*.csv"})
    arrival = asyncio.run(arrive(job(shop, config=config), shop.recorder, clock))
    assert arrival.job.held["src"].places == {"in/a.csv": "in/.processing/run_1/src/a.csv"}
    assert [sentence in reported(shop) for sentence in clock.said] == [True, True]
    assert clock.said[1] == (
        "src: waiting for a file that matches glob '*.csv' in 'in': No file in 'in' matches glob '*.csv'. "
        "It holds: b.txt. Next look in 0.03 s (2 of 5)."
    )


def test_it_waits_for_one_file_without_moving_it(shop: Shop) -> None:
    config = waiting("fail", path="in/a.csv", atomicity=None)
    clock = Clockwork(lambda: put(shop, "a.csv"))
    arrival = asyncio.run(arrive(job(shop, config=config), shop.recorder, clock))
    arrival.completed({})
    assert arrival.job.held["src"].places == {"in/a.csv": "in/a.csv"}
    assert tree(shop) == ["a.csv"]
    assert prepare(arrival.job).total_rows == 4


def test_the_last_look_decides(shop: Shop) -> None:
    clock = Clockwork()
    with pytest.raises(SourceError, match=r"did not come \(3 looks, 0.03 s apart\)") as caught:
        asyncio.run(arrive(job(shop, config=waiting("fail")), shop.recorder, clock))
    assert caught.value.code == "file_not_found"
    assert len(clock.said) == 2
    for action in ("skip", "alert"):
        missed = asyncio.run(arrive(job(shop, config=waiting(action, 0)), shop.recorder)).missed
        assert missed is not None
        assert (missed.node, missed.action) == ("src", action)
        assert missed.sentence == shop.recorder.lines[-1][1]
        assert missed.sentence.startswith("Warning: ") == (action == "alert")
        assert missed.sentence.endswith("The run ends with zero rows.")


def test_without_a_policy_nothing_is_waited_for(shop: Shop) -> None:
    with pytest.raises(SourceError) as caught:
        asyncio.run(arrive(job(shop), shop.recorder))
    assert caught.value.code == "file_not_found"


def test_a_file_that_keeps_growing_is_waited_for(shop: Shop) -> None:
    path = put(shop, "a.csv")

    def grow() -> None:
        with path.open("a") as file:
            file.write("9,z,9,2024-01-09\n")

    grow()
    clock = Clockwork(grow, lambda: put(shop, "a.csv"))
    config = waiting("fail", 3, settleSeconds=1.0)  # longer than the writer below is kept from writing
    config["waitPolicy"]["intervalMinutes"] = SOON

    async def writing() -> Arrival:
        """Somebody else writes on until the run has said once that it waits."""
        arriving = asyncio.create_task(arrive(job(shop, config=config), shop.recorder, clock))
        while not clock.said:
            grow()
            await asyncio.sleep(0.02)
        return await arriving

    arrival = asyncio.run(writing())
    assert "'in/a.csv' is still being written" in clock.said[0]
    assert arrival.missed is None
    assert tree(shop) == [".processing/run_1/src/a.csv"]


def test_waiting_can_be_cancelled_at_once(shop: Shop) -> None:
    config = waiting("fail")
    config["waitPolicy"]["intervalMinutes"] = 600

    async def cancelled() -> None:
        started = asyncio.Event()

        async def waits(_: str) -> None:
            started.set()

        arriving = asyncio.create_task(arrive(job(shop, config=config), shop.recorder, waits))
        await started.wait()
        arriving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await arriving

    asyncio.run(asyncio.wait_for(cancelled(), 30))


def two_sources(shop: Shop, action: str) -> Job:
    """A run that reads a.* and b.* of one folder."""
    made = pipeline(shop, waiting(action, 1, pattern={"type": "glob", "value": "a*"}))
    nodes = made.ir["nodes"]
    other = {**nodes[0], "id": "other", "config": {**nodes[0]["config"], "pattern": {"type": "glob", "value": "b*"}}}
    nodes += [other, {**nodes[1], "id": "tgt2", "input": "other"}]
    return Job("run_1", made, shop.url, shop.root, Continuation("run_1"))


def test_nothing_is_taken_before_every_source_has_something(shop: Shop) -> None:
    put(shop, "a.csv")
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(tree(shop))
        put(shop, "b.csv", "id,name,amount,day\n9,b,9,2024-01-09\n")

    arrival = asyncio.run(arrive(two_sources(shop, "fail"), shop.recorder, Clockwork(look)))
    assert seen == [["a.csv"]]
    assert set(arrival.job.held) == {"src", "other"}


def test_a_run_waits_again_without_the_files_of_its_other_source(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    put(shop, "a.csv")
    b = put(shop, "b.csv", "id,name,amount,day\n9,b,9,2024-01-09\n")
    from headrace.connectors.files.arrival.file_claims import FileClaims

    claim = FileClaims.claim
    faster = [b.unlink]

    def beaten(self: FileClaims, owner: str, look: Any) -> Any:
        if owner == "run_1/other" and faster:
            faster.pop()()  # another run took it after it was looked at
        return claim(self, owner, look)

    seen: list[list[str]] = []

    def back() -> None:
        seen.append(tree(shop))
        put(shop, "b.csv", "id,name,amount,day\n8,b,8,2024-01-08\n")

    monkeypatch.setattr(FileClaims, "claim", beaten)
    arrival = asyncio.run(arrive(two_sources(shop, "fail"), shop.recorder, Clockwork(back)))
    assert seen == [["a.csv"]]
    assert arrival.missed is None
    assert {*arrival.taken} == {*arrival.job.held} == {"src", "other"}
    assert tree(shop) == [".processing/run_1/other/b.csv", ".processing/run_1/src/a.csv"]


@pytest.mark.parametrize("trouble", ["fault", "half", "cancelled"])
def test_a_run_that_ends_before_it_has_all_files_gives_them_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    put(shop, "a.csv")
    put(shop, "b.csv")
    from headrace.connectors.files.arrival.claim_record import ClaimRecord
    from headrace.connectors.files.arrival.file_claims import FileClaims

    claim, save = FileClaims.claim, ClaimRecord.save
    running: list[asyncio.Task[Arrival]] = []

    def broken(self: FileClaims, owner: str, look: Any) -> Any:
        if owner == "run_1/other":
            if trouble == "fault":
                raise SourceError("not_movable", "The folder is read-only.")
            if trouble == "cancelled":
                running[0].get_loop().call_soon_threadsafe(running[0].cancel)
                time.sleep(0.3)  # the claim goes on in its thread
        return claim(self, owner, look)

    def half(self: ClaimRecord, store: Any) -> None:
        if trouble == "half" and "other" in self.name:
            raise SourceError("not_writable", "The disk is full.")
        save(self, store)

    async def run() -> Arrival:
        running.append(asyncio.ensure_future(arrive(two_sources(shop, "fail"), shop.recorder)))
        return await running[0]

    monkeypatch.setattr(FileClaims, "claim", broken)
    monkeypatch.setattr(ClaimRecord, "save", half)
    with pytest.raises(asyncio.CancelledError if trouble == "cancelled" else SourceError):
        asyncio.run(run())
    assert tree(shop) == ["a.csv", "b.csv"]


def test_a_run_that_misses_one_source_gives_back_what_it_took_for_the_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(shop, "a.csv")
    put(shop, "b.csv")
    from headrace.connectors.files.arrival.file_claims import FileClaims

    claim = FileClaims.claim

    def faster(self: FileClaims, owner: str, look: Any) -> Any:
        if owner == "run_1/other":
            (shop.root / "in" / "b.csv").unlink(missing_ok=True)  # another run took it after it was looked at
        return claim(self, owner, look)

    monkeypatch.setattr(FileClaims, "claim", faster)
    arrival = asyncio.run(arrive(two_sources(shop, "skip"), shop.recorder))
    assert arrival.missed is not None
    assert arrival.missed.node == "other"
    assert tree(shop) == ["a.csv"]
