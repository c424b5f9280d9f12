"""Runs the stack: starts each component as early as possible, restarts dead ones, stops all in order.

One thread without an event loop, which polls twenty times a second. A component that dies is restarted with growing
pauses; one that dies while the stack starts ends the stack.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headrace.connectors.postgresql.error_messages import error_message
from headrace.deployments.errors import HeadraceError
from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.stack import environment as env
from headrace.deployments.stack.component import Component
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.deployments.stack.database.setup import DatabaseUrls, load_database_logins, set_up
from headrace.deployments.stack.layout import (
    DATABASE,
    PREFECT_DATABASE_SUFFIX,
    STACK_WORKER,
    WORK_POOL,
    Layout,
    sweep_run_folders,
)
from headrace.deployments.stack.lost_runs import LostRuns, end_lost_runs, ensure_lost_run_automation
from headrace.deployments.stack.options import StackOptions
from headrace.deployments.stack.ports import choose_port, http_url
from headrace.deployments.stack.process import last_lines, start_log
from headrace.deployments.stack.secrets import (
    ensure_admin_key,
    load_encryption_keys,
    load_pepper,
    load_prefect_auth_string,
    reseal_with_newest_key,
)
from headrace.deployments.stack.state import StackLock, StackState
from headrace.deployments.stack.tenant_folders import all_tenants, make_folders, roots_of

Report = Callable[[str], None]
"""Takes one line about the progress of start or stop."""

_LOOK_SECONDS = 0.05
_PREFECT_SECONDS = 120.0
_WORKER_SECONDS = 90.0
_FACADE_SECONDS = 60.0
_FACADE = ("headrace.api.server",)
_PYTHON = (sys.executable, "-P", "-m")


class _StopRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP."""


def run_stack(options: StackOptions, report: Report, ready: Callable[[StackState], None]) -> None:
    """Runs a stack until a stop signal; calls `ready` once everything answers.

    Returns after a clean stop. Raises AlreadyRunning, and StackError when a component does not start.
    """
    layout = Layout.of(options.data_dir)
    before = os.umask(0o077)  # files of all components are private to this user
    try:
        layout.create()
        with StackLock(layout.lock):
            layout.state.unlink(missing_ok=True)  # left by a killed stack
            with _stop_signals() as stopping:
                Supervisor(options, layout, report, stopping).run(ready)
    finally:
        os.umask(before)


class Supervisor:
    """One run of a stack on `layout`; the caller holds its lock."""

    def __init__(self, options: StackOptions, layout: Layout, report: Report, stopping: Callable[[], bool]) -> None:
        self._options, self._layout, self._report, self._stopping = options, layout, report, stopping
        self._parts: list[Component] = []  # in the order they stop
        self._worker: Component | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._lost_runs: LostRuns | None = None
        self._began, self._began_at = time.monotonic(), datetime.now(UTC)

    def run(self, ready: Callable[[StackState], None]) -> None:
        """Starts, calls `ready`, restarts what dies, stops. Raises StackError, after everything is stopped."""
        try:
            state = self._start()
            state.write(self._layout.state)
            self._say("ready")
            ready(state)
            while True:
                self._wait()
                self._repair()
        except _StopRequested:
            self._say("stopping")
        finally:
            self._layout.state.unlink(missing_ok=True)
            self._stop()

    def _start(self) -> StackState:
        options, layout = self._options, self._layout
        prefect_port = choose_port("127.0.0.1", options.prefect_port, "--prefect-port")
        port = choose_port(options.host, options.port, "--port", besides=prefect_port)
        prefect_url, url = http_url("127.0.0.1", prefect_port), http_url(options.host, port)
        files_root = (options.files_root or layout.files).resolve()
        files_root.mkdir(parents=True, exist_ok=True)
        roots = roots_of(files_root)
        sweep_run_folders(layout.prefect_home)
        pepper = load_pepper(layout.secrets)
        api = PrefectApi(f"{prefect_url}/api", load_prefect_auth_string(layout.secrets))
        # keys of an operator are rotated by the operator
        given_keys = os.environ.get("HEADRACE_ENCRYPTION_KEYS")
        encryption_keys = [given_keys] if given_keys else load_encryption_keys(layout.secrets)

        databases = self._databases()
        base = env.base_environment()
        client = base | env.prefect_client_environment(layout.prefect_home, api)
        headrace = env.headrace_environment(
            {
                "database_url": databases.api,
                "files_root": files_root,
                "encryption_keys": ",".join(encryption_keys),
                "prefect_api_url": api.url,
                "work_pool": WORK_POOL,
                "host": options.host,
                "port": port,
            }
        )

        # Runs get only the logins of runs.
        running = env.headrace_environment({"database_url": databases.run, "run_database_url": databases.run})
        if databases.tenant_login_key is not None:
            running |= env.headrace_environment({"tenant_login_key": databases.tenant_login_key})

        # Most of the start is imports: Prefect and the worker import in parallel, while the migrations run here.
        server = env.without_headrace_settings(base) | env.prefect_server_environment(
            layout.prefect_home, api, databases.prefect
        )
        prefect = self._launch(
            "prefect",
            "The Prefect server",
            ["headrace.deployments.stack.prefect_server", "start", "--host", "127.0.0.1", "--port", str(prefect_port)],
            environment=server,
            stop_seconds=15,
        )
        read_end, write_end = os.pipe()
        worker = self._worker = self._launch(
            "worker",
            "The worker",
            ["headrace.deployments.worker", "--pool", WORK_POOL, "--name", STACK_WORKER],
            "--ready-fd",
            str(write_end),
            environment=client | headrace | running,
            stop_seconds=40,
            pass_fds=[write_end],
        )
        os.close(write_end)
        self._prepare_catalog(databases.owner)
        make_folders(roots, all_tenants(databases.owner))
        reseal_with_newest_key(layout.secrets, encryption_keys, databases.owner)
        api_key = ensure_admin_key(layout.secrets, databases.owner, pepper)
        facade = self._launch(
            "facade",
            "The facade",
            [*_FACADE, "--host", options.host, "--port", str(port)],
            environment=client | headrace | env.headrace_environment({"key_pepper": pepper}),
            stop_seconds=15,
        )
        self._prepare_home(databases.owner)  # while the components import

        self._until(lambda: _answers(f"{api.url}/ready"), _PREFECT_SECONDS, prefect)
        self._say(f"Prefect at {prefect_url}")
        try:
            ensure_lost_run_automation(api)
            self._lost_runs = LostRuns(api, pool=WORK_POOL, worker=STACK_WORKER)
            lost = end_lost_runs(api, pool=WORK_POOL, worker=STACK_WORKER, before=self._began_at)
        except httpx.HTTPError as error:
            raise HeadraceError(f"Lost runs could not be ended in Prefect: {error}") from None
        if lost:
            self._say(f"{lost} unfinished run(s) of the last stack marked as crashed")
        with os.fdopen(read_end, "rb", buffering=0) as pipe:
            os.set_blocking(read_end, False)
            self._until(lambda: bool(pipe.read(1)), _WORKER_SECONDS, worker)
        self._say(f"worker on pool {WORK_POOL}")
        self._until(lambda: _answers(f"{url}/readyz"), _FACADE_SECONDS, facade)
        self._say(f"API at {url}")
        return StackState(
            api_url=f"{url}/api/v1",
            api_key=api_key,
            prefect_url=prefect_url,
            prefect_api_url=api.url,
            prefect_auth_string=str(api.auth_string),
            database_url=databases.owner,
            files_root=files_root,
            pid=os.getpid(),
        )

    def _databases(self) -> DatabaseUrls:
        """The URLs of the catalog's and Prefect's databases, which exist then; on the embedded server with roles."""
        given = self._options.database_url
        try:
            if given is None:
                return self._own_databases()
            prefect_url = self._options.prefect_database_url
            if prefect_url is None:
                database = str(conninfo_to_dict(given).get("dbname") or DATABASE) + PREFECT_DATABASE_SUFFIX
                ensure_database(given, database)
                prefect_url = make_conninfo(given, dbname=database)
            with psycopg.connect(prefect_url, connect_timeout=10):
                pass
        except psycopg.Error as error:
            raise HeadraceError(
                f"The database cannot be used: {error_message(error)}",
                "Check HEADRACE_DATABASE_URL; Prefect gets a database of its own beside it, which needs CREATEDB, "
                "or HEADRACE_PREFECT_DATABASE_URL.",
            ) from None
        options = self._options
        return DatabaseUrls(
            owner=options.owner_database_url or given,
            api=given,
            run=options.run_database_url or given,
            prefect=prefect_url,
            tenant_login_key=options.tenant_login_key,
        )

    def _own_databases(self) -> DatabaseUrls:
        log = self._layout.log("postgresql")
        start_log(log, "PostgreSQL starts")
        logins = load_database_logins(self._layout.secrets)
        server = self._postgres = EmbeddedPostgres(self._layout.postgres, log)
        server.start()
        urls = set_up(server.url, server.url, logins, database=DATABASE, prefect=DATABASE + PREFECT_DATABASE_SUFFIX)
        server.block_superuser()
        self._say("PostgreSQL")
        return urls

    def _prepare_catalog(self, database_url: str) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        from headrace.catalog.engine import upgrade

        try:
            upgrade(database_url)
        except (SQLAlchemyError, psycopg.Error) as error:
            raise HeadraceError(f"The catalog could not be brought up to date: {error_message(error)}") from None
        self._say("catalog")

    def _prepare_home(self, database_url: str) -> None:
        from headrace.connectors.postgresql.load.prepare import create_schemas

        try:
            create_schemas(database_url)
        except psycopg.Error as error:
            raise HeadraceError(f"The tables of the ledger could not be made: {error_message(error)}") from None

    def _launch(
        self,
        name: str,
        title: str,
        module: list[str],
        *at_first: str,
        environment: dict[str, str],
        stop_seconds: float,
        pass_fds: Sequence[int] = (),
    ) -> Component:
        part = Component(
            title,
            [*_PYTHON, *module],
            log=self._layout.log(name),
            # Not the user's folder, where Prefect would read settings from a pyproject.toml or .env.
            folder=self._layout.prefect_home,
            environment=environment,
            stop_seconds=stop_seconds,
        )
        part.start(*at_first, pass_fds=pass_fds)
        self._parts.insert(0, part)
        return part

    def _until(self, condition: Callable[[], bool], seconds: float, part: Component) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self._look()
            if time.monotonic() > deadline:
                raise HeadraceError(
                    f"{part.title} was not ready within {seconds:.0f} s. The end of {part.log}:\n{last_lines(part.log)}"
                )

    def _look(self) -> None:
        """Waits briefly. Raises _StopRequested, or StackError when a component has ended."""
        self._wait()
        for part in self._parts:
            part.check()
        if self._postgres is not None:
            self._postgres.check()

    def _wait(self) -> None:
        if self._stopping():
            raise _StopRequested
        time.sleep(_LOOK_SECONDS)

    def _repair(self) -> None:
        """Restarts dead components. Once ready, a stack keeps running however often one dies."""
        try:
            if self._postgres is not None and self._postgres.repair():
                self._say("PostgreSQL ended and was started again")
        except HeadraceError as error:
            self._say(f"PostgreSQL ended and does not start; trying again. {error.message}")
        for part in self._parts:
            if (how := part.repair()) is not None:
                self._say(f"{part.title} {how} and was started again")
                if part is self._worker and self._lost_runs is not None:
                    self._lost_runs.since(datetime.now(UTC))
        if self._lost_runs is not None and (lost := self._lost_runs.end()):
            self._say(f"{lost} run(s) that died with the worker marked as crashed")

    def _stop(self) -> None:
        for part in self._parts:
            if not part.stop():
                self._report(f"{part.title} did not stop within {part.stop_seconds:.0f} s and was killed")
        if self._postgres is not None:
            self._postgres.stop()

    def _say(self, what: str) -> None:
        self._report(f"{time.monotonic() - self._began:5.1f} s  {what}")


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turns SIGINT, SIGTERM and SIGHUP into a flag inside the context."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, receive) for number in wanted}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    return False
