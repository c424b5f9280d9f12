"""Everything a fault can hit: a PostgreSQL that is reached through a proxy, and a whole stack that uses it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from headrace.deployments.stack.database.server import KILLABLE, EmbeddedPostgres, ensure_database
from headrace.deployments.stack.environment import base_environment
from headrace.deployments.stack.ports import choose_port
from headrace.deployments.stack.process import die_with_parent
from headrace.deployments.stack.state import StackState
from tests.conftest import HEADRACE, RunningStack
from tests.fault_proxy import FaultProxy

_PASSWORD = "chaos"
_HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
_START_SECONDS = 300
_DISK_MB = 1500
_SPARE_BYTES = 200_000

Fault = Callable[[], bool]
"""Does something bad; returns whether there was something to do it to."""

_SETTINGS = {**KILLABLE, "checkpoint_timeout": "30s", "max_wal_size": "256MB"}


class World:
    """The servers of one campaign. Use `open_world`."""

    def __init__(self, folder: Path, disk: Path | None) -> None:
        self.folder, self._disk = folder, disk
        self._port = choose_port("127.0.0.1", 0, "port")
        hba = folder / "hba.conf"
        hba.write_text(_HBA)
        over_tcp = {"listen_addresses": "127.0.0.1", "port": str(self._port), "hba_file": str(hba)}
        self.postgres = EmbeddedPostgres(
            (disk or folder) / "postgres", folder / "postgresql.log", {**_SETTINGS, **over_tcp}
        )
        self._prefects = EmbeddedPostgres(folder / "prefect-postgres", folder / "prefect-postgresql.log", _SETTINGS)
        self.proxy: FaultProxy | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self.stack: RunningStack | None = None

    @property
    def direct_url(self) -> str:
        """The database without the proxy, for observers."""
        return f"{self.postgres.url('headrace')}&port={self._port}"

    @property
    def can_fill_the_disk(self) -> bool:
        """PostgreSQL is on a file system of its own."""
        return self._disk is not None

    def start(self) -> None:
        """Starts all."""
        self.postgres.start()
        maintenance = f"{self.postgres.url('postgres')}&port={self._port}"
        ensure_database(maintenance, "headrace")
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE postgres PASSWORD '{_PASSWORD}'")  # type: ignore[call-overload]
        self._prefects.start()
        ensure_database(self._prefects.url("postgres"), "prefect")
        self.proxy = FaultProxy("127.0.0.1", self._port)
        self.proxy.start()
        data = self.folder / "data"
        through = f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{self.proxy.port}/headrace"
        with (self.folder / "up.log").open("wb") as log:
            self._supervisor = subprocess.Popen(
                [*HEADRACE, "up", "--data-dir", str(data), "--port", "0", "--prefect-port", "0"],
                cwd=self.folder,
                env=base_environment()
                | {
                    "HEADRACE_DATABASE_URL": through,
                    "HEADRACE_PREFECT_DATABASE_URL": self._prefects.url("prefect"),
                    "HEADRACE_CONNECTOR_NETWORKS": '["127.0.0.0/8"]',
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509
            )
        deadline = time.monotonic() + _START_SECONDS
        while (state := StackState.read(data / "stack.json")) is None:
            if self._supervisor.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "up.log").read_text())
            time.sleep(0.1)
        known = {name: getattr(state, name) for name in StackState.__dataclass_fields__}
        self.stack = RunningStack(data, **known, prefect=state.prefect_api.client(30))

    def stop(self) -> None:
        """Ends all that was started."""
        if self._supervisor is not None:
            self._supervisor.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._supervisor.wait(60)
            self._supervisor.kill()
            self._supervisor.wait()
        if self.proxy is not None:
            self.proxy.stop()
        self.postgres.stop()
        self._prefects.stop()

    @property
    def faults(self) -> dict[str, Fault]:
        """What can be done to it, by name."""
        found = {
            "kill run": self.kill_run,
            "kill worker": self.kill_worker,
            "kill PostgreSQL": self.kill_postgres,
            "cut connections": self.cut_connections,
        }
        return {**found, "disk full": self.fill_the_disk} if self._disk is not None else found

    def kill_run(self) -> bool:
        """SIGKILL for the processes of runs; False when there is none."""
        victims = [
            child
            for process in self._parts("headrace.deployments.worker.fork_server")
            for child in process.children(recursive=True)
        ]
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        return bool(victims)

    def kill_worker(self) -> bool:
        """SIGKILL for the worker; its supervisor starts another."""
        victims = self._parts("headrace.deployments.worker --pool")
        for victim in victims:
            victim.kill()
        return bool(victims)

    def kill_postgres(self) -> bool:
        """SIGKILL for PostgreSQL, and a start a moment later."""
        return killed(self.postgres)

    def cut_connections(self) -> bool:
        """Every connection through the proxy is reset, in the middle of whatever it carries."""
        assert self.proxy is not None
        return self.proxy.reset_all() > 0

    def fill_the_disk(self) -> bool:
        """No space left for PostgreSQL, for a second and a half."""
        assert self._disk is not None
        filler = self._disk / "filler"
        with filler.open("wb") as file:
            while (free := shutil.disk_usage(self._disk).free) > _SPARE_BYTES:
                with suppress(OSError):  # PostgreSQL takes some meanwhile
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), (free - _SPARE_BYTES // 2) * 9 // 10)
        time.sleep(1.5)
        filler.unlink()
        time.sleep(0.5)
        if self.postgres.pid is None:  # it gave up for want of space
            self.postgres.start()
        return True

    def _parts(self, command: str) -> list[psutil.Process]:
        assert self._supervisor is not None
        found = []
        for process in psutil.Process(self._supervisor.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                line = " ".join(process.cmdline())
                parent = process.parent()
                same_as_parent = parent is not None and " ".join(parent.cmdline()) == line
                if command in line and not same_as_parent:
                    found.append(process)
        return found


def killed(server: EmbeddedPostgres) -> bool:
    """SIGKILL for a server, and a start a moment later."""
    pid = server.pid
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        while server.pid == pid:  # else the start would take the dying one over
            time.sleep(0.02)
    time.sleep(0.3)
    server.start()
    return pid is not None


@contextmanager
def open_world(*, keep: bool = False) -> Iterator[World]:
    """A started world, stopped and removed at the end. PostgreSQL gets a small file system of its own where this user
    may mount one; elsewhere its disk cannot be filled."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    folder.chmod(0o755)
    disk: Path | None = folder / "disk"
    assert disk is not None
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m,mode=755", "tmpfs", str(disk)]
    mounted = sys.platform == "linux" and os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    world = World(folder, disk if mounted else None)
    try:
        world.start()
        yield world
    finally:
        world.stop()
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=False)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
