"""From files to rows and back with the command line, on a real stack."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from headrace.deployments.cli.app import app
from headrace.deployments.cli.documents.yaml_format import write_yaml
from headrace.deployments.stack.environment import base_environment
from tests.conftest import HEADRACE, RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack


def environment(stack: RunningStack, **more: str) -> dict[str, str]:
    """That of a terminal next to the stack, which is found by its data folder."""
    kept = {name: value for name, value in base_environment().items() if not name.startswith("HEADRACE_")}
    return kept | {"HEADRACE_DATA_DIR": str(stack.data_dir), "NO_COLOR": "1"} | more


def program(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`headrace` as the shell starts it."""
    return subprocess.run([*HEADRACE, *arguments], capture_output=True, text=True, check=False, timeout=150, **options)


def documents(name: str, file: str) -> list[dict[str, Any]]:
    fields = [{"name": "amount", "dataType": "integer"}, {"name": "note", "dataType": "text"}]
    source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": file}, "fields": fields}
    target = {"id": "tgt", "kind": "target", "input": "src", "schema": f"public.ds_{name}", "loadMode": "append"}
    ir = {"kind": "pipeline", "version": "1.0", "id": name, "metadata": {"name": name}, "nodes": [source, target]}
    return [
        {"kind": "connector", "name": name, "type": "local_fs"},
        {"kind": "schema", "name": name, "fields": fields},
        {"connector": name, "schema": name, "executionConfig": {"parallelism": 1}} | ir,
    ]


def test_from_files_to_rows_and_back(stack: RunningStack, tmp_path: Path) -> None:
    name = f"cli_{uuid4().hex[:8]}"
    (stack.files_root / f"{name}.csv").write_text("amount,note\n1,a\n2,b\nx,c\n")
    file = tmp_path / "all.yaml"

    def headrace(*arguments: str | Path, code: int = 0) -> str:
        # in this process: starting a new one takes longer than most commands
        result = CliRunner().invoke(app, [str(each) for each in arguments], env=environment(stack))
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.stdout

    def write(*wanted: dict[str, Any]) -> None:
        file.write_text("---\n".join(write_yaml(each) for each in wanted))

    connector, schema, pipeline = documents(name, f"{name}.csv")
    write(connector, schema, pipeline)
    apply = ("apply", "-f", file, "--set", name)
    assert "3 to create" in headrace(*apply, "--dry-run", code=3)
    headrace(*apply)
    assert "nothing to do" in headrace(*apply, "--dry-run")

    check = {"id": "v", "kind": "validate", "input": "src"}
    check["rowLevel"] = [{"id": "positive", "field": "amount", "rule": "gt:1"}]  # type: ignore[assignment]
    source, target = pipeline["nodes"]
    pipeline["nodes"] = [source, check, target | {"input": "v"}]
    write(connector, schema, pipeline)
    shown = headrace(*apply, "--dry-run", code=3)
    assert "node v added: new validate" in shown
    assert "node tgt changed: input: src → v" in shown
    headrace(*apply)

    planned = headrace("plan", name)
    assert f"public.ds_{name}" in planned
    assert "3 rows" in planned
    preview = json.loads(headrace("preview", name, "--node", "v", "--json"))
    assert [row["values"]["amount"] for row in preview["nodes"][0]["rows"]] == [2]

    watched = headrace("run", name, "--watch", code=3)
    run_id = watched.split()[0]
    assert "completed_with_errors: 3 in, 1 out, 2 failed" in watched
    found = json.loads(headrace("errors", name, "--json"))
    assert (found["runId"], found["total"]) == (run_id, 2)
    assert "Expected integer" in headrace("errors", name, run_id)
    assert headrace("errors", name, "--csv").splitlines()[0] == "Row,Column,Value,Error"

    check["rowLevel"][0]["rule"] = "gt:0"  # type: ignore[index]
    write(connector, schema, pipeline)
    headrace(*apply)
    lines = [json.loads(line) for line in headrace("retry", name, "--watch", "--json", code=3).splitlines()]
    assert lines[0]["metadata"]["retryOf"] == run_id
    assert (lines[-1]["rowsOut"], lines[-1]["failedRows"]) == (1, 1)  # of the two rows that had failed

    exported = headrace("export")
    (tmp_path / "exported.yaml").write_text(exported)
    assert f"name: {name}\n" in exported
    assert "nothing to do" in headrace("apply", "-f", tmp_path / "exported.yaml", "--set", f"{name}-2", "--dry-run")

    write(connector)
    assert "2 to delete" in headrace(*apply, "--prune", "--dry-run", code=3)
    headrace(*apply, "--prune", code=1)
    headrace(*apply, "--prune", "--confirm")
    assert name not in headrace("runs")


def test_a_run_that_fails_ends_with_1_and_says_why(stack: RunningStack) -> None:
    with closing(Api(stack, text=None).create()) as api:
        done = program("run", api.name, "--watch", "--json", env=environment(stack))
        assert done.returncode == 1
        assert json.loads(done.stdout.splitlines()[-1])["status"] == "failed"
        assert api.file.name in json.loads(done.stderr)["error"]["message"]


@pytest.mark.slow
def test_ctrl_c_leaves_the_run_going_and_says_so(stack: RunningStack) -> None:
    rows = "".join(f"{number},note\n" for number in range(400_000))
    with closing(Api(stack, f"amount,note\n{rows}", execution={"parallelism": 1, "batchSize": 50}).create()) as api:
        terminal, theirs = pty.openpty()  # a person's: the display is live
        watching = subprocess.Popen(
            [*HEADRACE, "run", api.name, "--watch"],
            env=environment(stack, TERM="xterm"),
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(theirs)
        run = eventually(lambda: api.runs() or None)[0]
        eventually(lambda: api.progress(run["id"])["status"] == "running" or None)
        eventually(lambda: b"partition" in os.read(terminal, 65536) or None)
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=60)
        os.close(terminal)
        assert watching.returncode == 130, said
        assert f'headrace cancel "{api.name}" {run["id"]}' in said
        assert api.progress(run["id"])["status"] == "running"
        assert program("cancel", api.name, run["id"], env=environment(stack)).returncode == 0
        assert api.finished(run["id"])["status"] == "failed"


def test_the_doctor_finds_a_whole_stack_well_and_names_what_is_away(stack: RunningStack, tmp_path: Path) -> None:
    with closing(Api(stack, None)) as api:
        good = api.make("/connectors", {"name": f"good {api.name}", "type": "local_fs", "config": {}})
        bad = {"name": f"bad {api.name}", "type": "local_fs", "config": {"basePath": "nowhere"}}
        api.make("/connectors", bad)
    well = program("doctor", "--json", env=environment(stack))
    listed = [json.loads(line) for line in well.stdout.splitlines()]
    connectors = {each["found"]: each["verdict"] for each in listed if each["check"] == "connector"}
    assert [verdict for text, verdict in connectors.items() if text.startswith(good["name"])] == ["ok"]
    [(text, verdict)] = [each for each in connectors.items() if each[0].startswith(bad["name"])]
    assert (verdict, "nowhere" in text) == ("warning", True)
    found = {each["check"]: each for each in listed if each["check"] != "connector"}
    assert well.returncode == 0
    assert {name for name, each in found.items() if each["verdict"] != "ok"} <= {"packages"}
    assert set(found) >= {
        "database",
        "permissions",
        "migrations",
        "prefect",
        "worker",
        "api",
        "key",
        "files folder",
        "staging",
    }
    wrong = {"HEADRACE_PREFECT_API_URL": "http://127.0.0.1:9/api", "HEADRACE_API_KEY": "hr_wrong"}
    ill = program("doctor", env=environment(stack, **wrong))
    assert ill.returncode == 1
    assert "failed   prefect       http://127.0.0.1:9/api does not answer" in ill.stdout
    assert "`headrace keys create` makes one" in ill.stdout
    empty = program("doctor", env=environment(stack, HEADRACE_DATA_DIR=str(tmp_path / "none")))
    assert (empty.returncode, "`headrace up` makes it" in empty.stdout) == (1, True)
