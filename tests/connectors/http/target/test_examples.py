"""The examples of targets that are APIs: what arrives, and the error rows."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from tests.connectors.http.api_server import ApiServer
from tests.connectors.http.taking import Given, Taking
from tests.connectors.http.target.sending import job_of, run
from tests.docs.pages import ROOT
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

EXAMPLES = ROOT / "examples" / "targets"


def bad(record: Given) -> str | None:
    return "not an address" if "@" not in record["email"] else None


@pytest.mark.parametrize("name", sorted(each.name for each in EXAMPLES.iterdir()))
def test_an_example_sends_what_is_expected(name: str, api: ApiServer, tmp_path: Path, database_url: str) -> None:
    folder = EXAMPLES / name
    shutil.copy(folder / "input.csv", tmp_path)
    document = json.loads((folder / "pipeline.json").read_text())
    record = json.loads((folder / "connector.json").read_text())
    parsed = parse_ir(document)
    assert parsed.ir is not None
    assert check_types(parsed.ir) == []
    target = document["nodes"][1]
    records = target["config"].get("records") or target["config"]["objects"]
    taking = Taking(records_of=lambda body: body[records], status=201, bad=bad)
    taking.put(api, target["config"].get("path", "/users/track"))
    runner = Runner(tmp_path, database_url)
    target["connection"] = "api"
    run(job_of(runner, api, document["nodes"], record["type"]), runner)
    assert f"[`{name}`](targets/{name})" in (ROOT / "examples" / "README.md").read_text()
    assert taking.taken == [json.loads(line) for line in (folder / "expected.jsonl").read_text().splitlines()]
    errors = [*csv.reader((folder / "expected_errors.csv").read_text().splitlines())][1:]
    assert [[str(row), column or "", error] for _, row, column, _, error in sorted(runner.recorder.cells)] == errors
