"""A database failure during a load: the run completes exactly, or fails with a reason and its retry completes
exactly."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from headrace.catalog.engine import upgrade
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.copy.copy_rows import is_data_error, is_transient
from headrace.connectors.postgresql.load.loader import CopyLoader
from headrace.deployments.stack.database.server import KILLABLE, EmbeddedPostgres, ensure_database
from headrace.deployments.stack.ports import choose_port
from headrace.flows.runtime.execute import RunTotals
from headrace.flows.runtime.scheduler import run_in_threads
from tests.fault_proxy import FaultProxy
from tests.flows.runtime.loads import Loads

ROWS = 40_000
MODES: dict[str, dict[str, Any]] = {
    "append": {"loadMode": "append"},
    "upsert": {"loadMode": "upsert", "upsertKey": "id"},
    "replace": {"loadMode": "replace"},
    "blue_green": {"loadMode": "blue_green"},
}


class Server:
    """A PostgreSQL of its own on TCP, to be crashed and cut off, with a migrated database to copy."""

    def __init__(self, folder: Path) -> None:
        self.port = choose_port("127.0.0.1", 0, "port")
        settings = {**KILLABLE, "listen_addresses": "127.0.0.1", "port": str(self.port)}
        # A crash must not lose acknowledged commits.
        settings |= {"synchronous_commit": "on", "full_page_writes": "on"}
        trusted = ["host all all 127.0.0.1/32 trust"]
        self.postgres = EmbeddedPostgres(folder / "postgres", folder / "log", settings, access=trusted)
        self.postgres.start()
        ensure_database(self.url("postgres"), "migrated")
        upgrade(self.url("migrated"))

    def url(self, database: str, port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def crash(self) -> None:
        """What `pg_ctl stop -m immediate` does, and a start."""
        pid = self.postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + 30
        while self.postgres.pid is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        self.postgres.start()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    folder.chmod(0o755)
    try:
        here = Server(folder)
        yield here
        here.postgres.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    here = FaultProxy("127.0.0.1", server.port).start()
    yield here
    here.stop()


@pytest.fixture
def world(server: Server, proxy: FaultProxy, tmp_path: Path) -> Iterator[Loads]:
    """Runs that reach the server through the proxy; `table` does not."""
    name = f"test_{time.monotonic_ns()}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE migrated").format(sql.Identifier(name)))
    loads = Loads(tmp_path, server.url(name))
    direct = loads.table
    loads.url = server.url(name, proxy.port)

    def past_the_proxy(query: str = "SELECT count(*), count(DISTINCT id), sum(id) FROM public.ds_orders") -> Any:
        loads.url = server.url(name)
        try:
            return direct(query)
        finally:
            loads.url = server.url(name, proxy.port)

    loads.table = past_the_proxy  # type: ignore[method-assign]
    yield loads
    loads.close()


EXACT = [(ROWS, ROWS, ROWS * (ROWS + 1) // 2)]


def loading(world: Loads, trouble: Callable[[], Any], *, attempts: int = 8, **options: Any) -> RunTotals:
    """A run in small batches that meets the trouble when some of its rows are committed. After a quarter of them it
    waits for it, so that the run is never quicker than the trouble."""
    world.numbers(ROWS)
    options |= {"execution": {"batchSize": 200, "parallelism": 2}, "errorHandling": patience(attempts)}
    execution = world.execution(**options)
    write, begins, sent = CopyLoader.write, threading.Event(), count(200, 200)

    def patient(self: CopyLoader, *args: Any, **named: Any) -> Any:
        if next(sent) > ROWS // 4:
            begins.wait(60)
        return write(self, *args, **named)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(CopyLoader, "write", patient)
        run = pool.submit(run_in_threads, execution)
        while committed(world) < ROWS // 8:
            assert not run.done(), run.result()
            time.sleep(0.005)
        begins.set()
        trouble()
        return run.result()


def patience(attempts: int) -> dict[str, Any]:
    return {"retry": {"maxAttempts": attempts}}


def committed(world: Loads) -> int:
    """Rows that are in the ledgers."""
    try:
        found = world.table(
            "SELECT coalesce(sum(rows_done), 0)::bigint FROM "
            "(SELECT rows_done FROM _headrace.ledger UNION ALL SELECT rows_done FROM _headrace.staging_ledger) l"
        )
    except psycopg.errors.UndefinedTable:
        return 0
    return int(found[0][0])


def after_a_failure(world: Loads, mode: str) -> None:
    """Retries the run: after the ledger, or from the beginning."""
    root = "run_2" if mode in ("replace", "blue_green") else "run_1"
    world.run("run_2", root=root, errorHandling=patience(8), **MODES[mode])


@pytest.mark.postgres
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.first_variant
def test_a_crash_of_the_server_does_no_harm(world: Loads, server: Server, mode: str) -> None:
    """Rows that go straight into the table are there; those that were held back are gone with what counted them, and
    the run says so unless it had not come to them yet."""
    failure: TargetError | None = None
    try:
        totals = loading(world, server.crash, **MODES[mode])
    except TargetError as error:
        failure = error
    if failure is None:
        assert (totals.rows_in, totals.rows_out) == (ROWS, ROWS)
    else:
        assert mode != "append"
        assert failure.code in ("staging_lost", "database_unavailable")
        assert "PostgreSQL crashed" in failure.message
        assert world.table() == [(0, 0, None)]
        after_a_failure(world, mode)
    assert world.table() == EXACT


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("sent", [200, 5_000, 60_000, 500_000])
@pytest.mark.first_variant
def test_a_connection_cut_in_the_middle_of_a_copy_is_made_again(
    world: Loads, proxy: FaultProxy, mode: str, sent: int
) -> None:
    def cut() -> None:
        proxy.cut_after = sent

    totals = loading(world, cut, **MODES[mode])
    assert proxy.cuts == 1
    assert (totals.rows_in, totals.rows_out) == (ROWS, ROWS)
    assert world.table() == EXACT


@pytest.mark.postgres
@pytest.mark.slow
def test_all_connections_at_once(world: Loads, proxy: FaultProxy) -> None:
    assert loading(world, proxy.reset_all).rows_out == ROWS
    assert world.table() == EXACT


@pytest.mark.postgres
def test_a_server_that_stays_away_fails_the_run_clearly_and_a_retry_ends_it(world: Loads, proxy: FaultProxy) -> None:
    def away() -> None:
        proxy.refuse = True
        proxy.reset_all()

    with pytest.raises(TargetError) as caught:
        loading(world, away, attempts=3)
    assert caught.value.code == "database_unavailable"
    assert "failed 3 times in a row" in caught.value.message
    there = world.table()[0][0]
    assert 0 < there < ROWS
    proxy.refuse = False
    totals = world.run("run_2", root="run_1")
    assert (totals.rows_in, totals.rows_out) == (ROWS, ROWS)
    assert world.table() == EXACT


@pytest.mark.postgres
def test_a_full_disk_fails_the_run_clearly_and_a_retry_ends_it_when_there_is_room(world: Loads, server: Server) -> None:
    with small_disk(2, server) as (folder, grow):
        world.table(f"CREATE TABLESPACE small LOCATION '{folder}'")
        try:
            world.table("ALTER TABLE public.ds_orders SET TABLESPACE small")
            world.numbers(ROWS)
            small = {"execution": {"batchSize": 2000, "parallelism": 2}, "errorHandling": patience(2)}
            with pytest.raises(TargetError) as caught:
                world.run(**small)
            assert caught.value.code == "database_unavailable"
            assert "No space left on device" in caught.value.message
            assert committed(world) == world.table()[0][0] < ROWS
            grow(64)
            totals = world.run("run_2", root="run_1", **small)
            assert (totals.rows_in, totals.rows_out) == (ROWS, ROWS)
            assert world.table() == EXACT
        finally:
            world.table("ALTER TABLE public.ds_orders SET TABLESPACE pg_default")
            world.table("DROP TABLESPACE small")


@contextmanager
def small_disk(megabytes: int, server: Server) -> Iterator[tuple[Path, Callable[[int], Any]]]:
    """A folder of PostgreSQL's account on a file system of that size, and what makes it larger."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("a file system of a given size can only be mounted by root")
    try:
        shutil.chown(folder, Path(f"/proc/{server.postgres.pid}").stat().st_uid)
        yield folder, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}m", folder], check=True)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


@pytest.mark.parametrize(
    ("state", "transient"),
    [
        *((state, True) for state in ("08000", "08006", "40001", "40P01", "53000", "53100", "53200", "53300")),
        *((state, True) for state in ("57P01", "57P02", "57P03", "55P03")),
        *(
            (state, False)
            for state in ("22001", "22P02", "23505", "23503", "23514", "42501", "42P01", "57014", "P0001")
        ),
    ],
)
@pytest.mark.first_variant
def test_what_may_go_away_by_itself_is_tried_again_and_data_never_are(state: str, transient: bool) -> None:
    error = psycopg.errors.lookup(state)()
    assert is_transient(error) is transient
    assert not (transient and is_data_error(error))
