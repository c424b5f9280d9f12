"""The files of a stack's folder, its lock, ports and environment."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.environment import asyncpg_url, base_environment
from headrace.deployments.stack.layout import Layout
from headrace.deployments.stack.options import StackOptions
from headrace.deployments.stack.ports import choose_port, free_or_any, http_url
from headrace.deployments.stack.secrets import load_pepper
from headrace.deployments.stack.state import AlreadyRunning, StackLock, StackState, holder

HOLD = """
import sys, time
from pathlib import Path
from headrace.deployments.stack.state import StackLock
with StackLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_that_is_held_is_never_taken_for_a_free_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stack.lock"
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    for before in ("", str(dead.pid)):
        path.write_text(before)
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            writing = threading.Timer(0.3, lambda: path.write_text(str(os.getpid())))
            writing.start()
            assert holder(path) == os.getpid()
            writing.join()
    monkeypatch.setattr("headrace.deployments.stack.state._WRITTEN_WITHIN_S", 0.1)
    path.write_text("")
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(HeadraceError, match="has not written its id"), StackLock(path):
            pass


def test_looking_who_holds_a_lock_does_not_keep_others_from_it(tmp_path: Path) -> None:
    path = tmp_path / "stack.lock"
    path.touch()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.2, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with StackLock(path):
            assert holder(path) == os.getpid()


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "stack.lock"
    assert holder(path) is None
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert holder(path) == process.pid
        with pytest.raises(AlreadyRunning, match=str(process.pid)), StackLock(path):
            pass
        process.kill()
    assert holder(path) is None
    with StackLock(path):
        assert holder(path) == os.getpid()
    assert holder(path) is None


def test_the_addresses_and_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    state = StackState(
        "http://a/api/v1", "hr_x", "http://p", "http://p/api", "headrace:x", "postgresql://d", tmp_path, 7
    )
    path = tmp_path / "stack.json"
    state.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert StackState.read(path) == state
    pepper = load_pepper(tmp_path / "secrets.json")
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert load_pepper(tmp_path / "secrets.json") == pepper
    assert len(pepper) >= 32


@pytest.mark.parametrize("content", ["", "[]", "{", '{"apiUrl": "x"}', '{"pid": "many"}'])
def test_a_damaged_state_is_no_state(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    assert StackState.read(tmp_path / "stack.json") is None


def test_a_taken_port_is_named_with_its_flag() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HeadraceError, match=rf"(?s){port}.*--prefect-port"):
            choose_port("127.0.0.1", port, "--prefect-port")
        assert choose_port("127.0.0.1", 0, "--port") != port
        assert free_or_any("127.0.0.1", port) == 0


def test_one_port_cannot_serve_two_parts() -> None:
    free = choose_port("127.0.0.1", 0, "--port")
    with pytest.raises(HeadraceError, match=r"twice.*--port"):
        choose_port("127.0.0.1", free, "--port", besides=free)


def test_a_host_that_is_not_this_machine_is_an_error() -> None:
    with pytest.raises(HeadraceError):
        choose_port("203.0.113.1", 0, "--port")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_the_url_is_one_a_client_here_can_use(host: str, url: str) -> None:
    assert http_url(host, 80) == url


def test_options_survive_the_way_to_the_supervisor(tmp_path: Path) -> None:
    options = StackOptions(tmp_path, port=0, database_url="postgresql://u:p%40ss@h/d", files_root=tmp_path / "files")
    assert StackOptions.from_json(options.to_json()) == options
    assert StackOptions.from_json(StackOptions(tmp_path).to_json()) == StackOptions(tmp_path)


def test_parts_see_no_prefect_profile_and_no_relative_import_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "https://elsewhere")
    monkeypatch.setenv("PREFECT_PROFILE", "mine")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", str(tmp_path)]))
    environment = base_environment()
    assert not [name for name in environment if name.startswith("PREFECT")]
    entries = environment["PYTHONPATH"].split(os.pathsep)
    assert entries[-1] == str(tmp_path)
    assert all(Path(entry).is_absolute() for entry in entries)


def test_a_folder_named_like_ours_does_not_shadow_us(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("raise RuntimeError('the wrong flows')")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "headrace.deployments.cli.app", "--version"],
        cwd=tmp_path,
        env=base_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


text = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=1, max_size=12)


@given(user=text, password=text, database=text.filter(lambda name: "?" not in name), port=st.integers(1, 65535))
def test_any_libpq_url_names_the_same_place_for_prefect(user: str, password: str, database: str, port: int) -> None:
    given_url = make_conninfo("", host="db.example", user=user, password=password, dbname=database, port=port)
    url = make_url(asyncpg_url(given_url))
    assert (url.drivername, url.host, url.port) == ("postgresql+asyncpg", "db.example", port)
    assert (url.username, url.password, url.database) == (user, password, database)


def test_sockets_and_tls_carry_over_to_prefect() -> None:
    socket_url = make_url(asyncpg_url("postgresql://postgres@/prefect?host=/var/run/pg"))
    assert (socket_url.host, socket_url.query["host"], socket_url.database) == (None, "/var/run/pg", "prefect")
    assert make_url(asyncpg_url("postgresql://u@h/d?sslmode=require")).query["ssl"] == "require"


def test_a_data_folder_that_is_a_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(HeadraceError, match="is a file"):
            Layout.of(folder).create()
