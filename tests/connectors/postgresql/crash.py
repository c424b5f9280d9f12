"""A server of one test alone, and its crash."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headrace.deployments.stack.database.server import KILLABLE, EmbeddedPostgres


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A server of this test alone, because it is crashed."""
    # Not pytest's own temp folders: those are private to this user, and as root PostgreSQL runs as another one.
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    made = EmbeddedPostgres(folder / "postgres", folder / "postgresql.log", KILLABLE)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def crash(server: EmbeddedPostgres) -> None:
    """`pg_ctl stop -m immediate`: nothing is written, so that the next start has to recover."""
    pid = server.pid
    assert pid is not None
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGQUIT)
    psutil.wait_procs([process], timeout=30)
    server.start()
