"""Two tenants of a real stack: a run of one reads, claims, moves and reports only its own files."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.catalog.files_roots import FilesRoots
from tests.conftest import HEADRACE, RunningStack
from tests.rest import Api

pytestmark = pytest.mark.stack

TENANT = "Thief"


def put(path: Path, text: str = "amount,note\n4711,secret\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - 60,) * 2)


def command(stack: RunningStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE")}
    return subprocess.run(
        [*HEADRACE, *arguments, "--data-dir", str(stack.data_dir)],
        env=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def thief(stack: RunningStack) -> RunningStack:
    """The same stack as an editor of another tenant has it."""
    made = command(stack, "keys", "create", "--name", "x", "--role", "editor", "--tenant", TENANT, "--new-tenant")
    assert made.returncode == 0, made.stderr
    own = FilesRoots(stack.files_root).of(TENANT)
    assert str(own) in made.stderr.replace("\n", "")
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    return replace(stack, api_key=made.stdout.strip(), files_root=own)


@pytest.fixture
def victim(stack: RunningStack) -> Iterator[Path]:
    """A folder of the tenant `default` with a file that everybody wants."""
    folder = stack.files_root / f"victim-{time.monotonic_ns()}"
    put(folder / "a.csv")
    yield folder
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*")] == ["a.csv"], "nobody has moved it"


def api(of: RunningStack, config: dict[str, Any]) -> Api:
    made = Api(of, None)
    made.body["ir"]["nodes"][0]["config"] = config
    return made


def test_a_run_reads_and_takes_the_files_of_its_tenant_alone(
    thief: RunningStack, stack: RunningStack, victim: Path
) -> None:
    put(thief.files_root / victim.name / "a.csv", "amount,note\n1,own\n")
    with closing(api(thief, {"path": f"{victim.name}/", "pattern": "*.csv", "atomicity": {}})) as own:
        own.create()
        progress = own.run()
        assert (progress["status"], own.rows()) == ("completed", [(1, "own")])
        archived = [path for path in (thief.files_root / victim.name).rglob("*.csv") if ".archive" in path.parts]
        assert len(archived) == 1
        run_id = own.start()  # nothing is left
        assert own.finished(run_id)["status"] == "failed"
        reason = own.detail(run_id)["failureReason"]
        assert "4711" not in reason
        assert str(stack.data_dir) not in reason


@pytest.mark.parametrize(
    "where", ["{victim}/a.csv", "../files/{name}/a.csv", "../../files/{name}/a.csv", "../{name}/a.csv", "link/a.csv"]
)
def test_no_way_leads_to_another_tenants(thief: RunningStack, stack: RunningStack, victim: Path, where: str) -> None:
    link = thief.files_root / "link"
    if not link.is_symlink():
        link.symlink_to(victim)
    else:
        link.unlink()
        link.symlink_to(victim)
    path = where.format(victim=victim, name=victim.name)
    with closing(api(thief, {"path": "{{where}}", "atomicity": {}})) as own:
        own.create()
        run = own.make(f"/pipelines/{own.pipeline}/run", {"parameters": {"where": path}})
        assert own.finished(run["id"])["status"] == "failed"
        assert "is not inside the files folder" in own.detail(run["id"])["failureReason"]
        assert own.rows() == []
        listed = own.post("/connectors/test", json={"type": "local_fs", "config": {"basePath": "link"}})
        assert listed.json()["ok"] is False
        assert "a.csv" not in listed.text


@pytest.mark.parametrize("folder", ["stagingFolder", "successFolder", "failureFolder"])
def test_nothing_is_put_among_another_tenants_files(thief: RunningStack, victim: Path, folder: str) -> None:
    mine = thief.files_root / f"mine-{victim.name}"
    put(mine / "bad.csv", 'amount,note\n1,"a\n' if folder == "failureFolder" else "amount,note\n1,a\n")
    (mine / "put").symlink_to(victim)
    with closing(api(thief, {"path": f"{mine.name}/", "pattern": "*.csv", "atomicity": {folder: "put"}})) as own:
        own.create()
        run_id = own.start()
        assert own.finished(run_id)["status"] == "failed"
        assert "is not inside the files folder" in own.detail(run_id)["failureReason"]


def test_what_a_stack_keeps_is_its_owners_alone(stack: RunningStack, thief: RunningStack) -> None:
    del thief
    open_to_others = {
        path.name: oct(path.stat().st_mode)
        for path in stack.data_dir.iterdir()
        if path.stat().st_mode & 0o077 and not path.is_symlink()
    }
    assert open_to_others == {}
    assert not [path for path in (stack.data_dir / "logs").iterdir() if path.stat().st_mode & 0o077]


@pytest.mark.slow
def test_the_doctor_names_a_tenant_whose_files_are_still_among_the_others(
    stack: RunningStack, thief: RunningStack
) -> None:
    empty, gone = "left", "gone"
    for tenant in (empty, gone):
        made = command(stack, "keys", "create", "--name", "x", "--role", "editor", "--tenant", tenant, "--new-tenant")
        assert made.returncode == 0, made.stderr
        Api(replace(stack, api_key=made.stdout.strip()), None).close()  # makes a connector
    place = FilesRoots(stack.files_root).of(gone)
    place.rmdir()
    reported = command(stack, "doctor", "--json").stdout
    assert (
        f"tenant 'left' has 1 connector of local files, and {FilesRoots(stack.files_root).of(empty)} is empty"
        in reported
    )
    assert f"{place} is not a folder" in reported
    assert f"mkdir -p -m 700 {place}" in reported
    place.mkdir(mode=0o700)
    (place / "x.csv").write_text("")
    assert f"tenant 'gone' has 1 connector of local files: {place}" in command(stack, "doctor", "--json").stdout


@pytest.mark.parametrize("name", ["..", "a/b", "", "x" * 65, "é", "a b"])
@pytest.mark.first_variant
def test_a_tenant_cannot_be_called_just_anything(stack: RunningStack, name: str) -> None:
    refused = command(stack, "keys", "create", "--name", "x", "--tenant", name, "--new-tenant")
    assert refused.returncode == 1
    assert "cannot be called" in refused.stderr
    with psycopg.connect(stack.database_url) as connection:
        found = connection.execute("SELECT count(*) FROM headrace.tenants WHERE id = %s", (name,)).fetchone()
    assert found == (0,)
