"""The embedded PostgreSQL: start, reuse, stop, and the end of its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import psutil
import psycopg
import pytest

from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres, ensure_database

pytestmark = pytest.mark.postgres


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="headrace-"))
    yield made
    rmtree(made)


def test_a_database_is_fresh_for_each_test_and_takes_extensions(superuser_url: str) -> None:
    with psycopg.connect(superuser_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        connection.execute("CREATE EXTENSION pg_trgm")
        assert connection.execute("SELECT lower('ÄÖ')").fetchone() == ("äö",)


def test_it_keeps_its_data_over_a_restart_and_has_no_open_port(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
    try:
        server.start()
        ensure_database(server.url("postgres"), "kept")
        ensure_database(server.url("postgres"), "kept")
        assert server.pid is not None
        assert not psutil.Process(server.pid).net_connections("inet")
        first = server.pid
        EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE).start()
        assert server.pid == first
        server.stop()
        assert server.pid is None
        again = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
        again.start()
        with psycopg.connect(again.url("kept")) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("kept",)
    finally:
        server.stop()


@pytest.mark.slow
def test_a_path_too_long_for_a_socket_still_works(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60) / "data"
    server = EmbeddedPostgres(deep, folder / "log", DISPOSABLE)
    try:
        server.start()
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()


@pytest.mark.slow
def test_a_pid_file_left_by_a_dead_server_is_no_hindrance(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
    try:
        server.start()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        # The number in the stale file now belongs to a living process that is no PostgreSQL: this one.
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
        psutil.wait_procs([psutil.Process(int(lines[0]))] if psutil.pid_exists(int(lines[0])) else [], timeout=5)
        (folder / "data" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
        server.start()
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()


def test_why_it_does_not_start_is_in_the_error(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "data", folder / "log", {**DISPOSABLE, "no_such_setting": "1"})
    with pytest.raises(HeadraceError, match="no_such_setting"):
        server.start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a process that its parent died")
def test_it_ends_when_its_starter_is_killed(folder: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres\n"
        "d = Path(sys.argv[1]); EmbeddedPostgres(d / 'data', d / 'log', DISPOSABLE).start()\n"
        "print('up', flush=True); time.sleep(170)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        server = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
        assert server.pid is not None
        starter.kill()
    deadline = time.monotonic() + 60
    while server.pid is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.pid is None
