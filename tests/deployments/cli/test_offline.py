"""`headrace init` and `headrace validate`, without a stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.deployments.cli.app import app
from headrace.deployments.cli.documents.yaml_format import write_yaml
from tests.deployments.cli.conftest import CONNECTOR, SCHEMA, Terminal, pipeline_document


def headrace(*arguments: str | Path, code: int = 0) -> str:
    """What the command prints, or the message of its error."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], env={"HEADRACE_URL": "", "NO_COLOR": "1"})
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.stdout if code == 0 else str(getattr(result.exception, "message", result.exception))


def test_what_init_writes_is_valid_and_never_overwrites(tmp_path: Path) -> None:
    headrace("init", tmp_path / "new")
    assert headrace("validate", "-f", tmp_path / "new") == "1 connector, 1 schema, 1 pipeline: valid\n"
    assert "is there already; nothing was written" in headrace("init", tmp_path / "new", code=1)


@pytest.mark.postgres
def test_what_init_writes_can_be_applied(headrace: Terminal, tmp_path: Path) -> None:
    headrace("init", tmp_path / "new")
    assert "3 to create" in headrace("apply", "-f", tmp_path / "new").output


def test_every_fault_is_reported_with_its_line_and_secrets_need_not_be_there(tmp_path: Path) -> None:
    login = {"username": "u", "password": "${NOT_SET_ANYWHERE}"}
    shop = {
        "kind": "connector",
        "name": "shop",
        "type": "postgresql",
        "config": {"host": "${HOST}"},
        "authConfig": login,
    }
    wrong = pipeline_document()
    wrong["nodes"][0]["fields"] = [{"name": "amount", "dataType": "integer"}]
    step = {"id": "more", "kind": "transform", "input": "src"}
    wrong["nodes"][1:1] = [step | {"ops": [{"type": "expression", "field": "x", "expression": "amuont + 1"}]}]
    wrong["nodes"][-1]["input"] = "more"
    (tmp_path / "all.yaml").write_text("---\n".join(write_yaml(each) for each in (CONNECTOR, SCHEMA, shop, wrong)))
    reported = headrace("validate", "-f", tmp_path, code=1)
    assert "There is no column 'amuont' here" in reported
    assert "all.yaml:" in reported
    (tmp_path / "all.yaml").write_text("---\n".join(write_yaml(each) for each in (CONNECTOR, SCHEMA, shop)))
    counted = {"connector": 2, "schema": 1, "pipeline": 0}
    assert json.loads(headrace("validate", "-f", tmp_path, "--json")) == {
        "valid": True,
        "checked": "all",
        "documents": counted,
    }
