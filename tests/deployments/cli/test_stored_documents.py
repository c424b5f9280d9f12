"""Connector documents on the server: by commands, and as files of `apply` and `export`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from headrace.deployments.cli.documents.yaml_format import read_yaml, write_yaml
from tests.api.yaml_connectors.documents import connector, reading, shop
from tests.deployments.cli.conftest import Terminal

pytestmark = pytest.mark.postgres

URL = "https://shop.example"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The document `shop` in a file."""
    path = tmp_path / "shop.yaml"
    path.write_text(write_yaml(shop(URL)))
    return path


def test_a_document_is_pushed_listed_compared_and_published(headrace: Terminal, file: Path) -> None:
    assert "shop: version 1 saved, live" in headrace("connectors", "push", file).output
    assert "shop: version 1 unchanged, live" in headrace("connectors", "push", file).output
    file.write_text(write_yaml(shop(URL, displayName="Another shop")))
    pushed = headrace("connectors", "push", file, "--no-publish", "--comment", "a better name").output
    assert pushed.strip() == "shop: version 2 saved"
    [listed] = json.loads(headrace("connectors", "documents", "--json").output)
    assert (listed["id"], listed["liveVersion"], listed["newestVersion"]) == ("shop", 1, 2)
    assert "The shop" in headrace("connectors", "documents").output
    assert "a better name" in headrace("connectors", "versions", "shop").output
    assert headrace("connectors", "diff", "shop").output.strip() == 'replace /displayName "Another shop"'
    assert "version 2 is live" in headrace("connectors", "publish", "shop", "2").output
    assert "There is no such connector document" in headrace.fails("connectors", "versions", "shopp")


def test_a_document_of_headrace_is_listed_printed_and_replaced(headrace: Terminal, tmp_path: Path) -> None:
    listed = json.loads(headrace("connectors", "documents", "--shipped", "--json").output)
    assert {"github", "stripe", "salesforce"} <= {each["id"] for each in listed}
    assert "pull_requests" in headrace("connectors", "documents", "--shipped").output
    printed = headrace("connectors", "shipped", "segment").output
    own = tmp_path / "segment.yaml"
    own.write_text(printed.replace("displayName: Segment", "displayName: Our Segment"))
    assert "segment: version 1 saved, live" in headrace("connectors", "push", own).output
    shown = json.loads(headrace("connectors", "shipped", "segment", "--json").output)
    assert (shown["replaced"], shown["displayName"]) == (True, "Segment")


def test_an_invalid_document_is_not_pushed(headrace: Terminal, file: Path) -> None:
    file.write_text(write_yaml(shop(URL, version="2.0", displayName=1)))
    message = headrace.fails("connectors", "push", file)
    assert f"{file}:2: connector.version" in message
    assert f"{file}:4: connector.displayName" in message
    assert json.loads(headrace("connectors", "documents", "--json").output) == []


def test_the_record_of_a_stored_document_names_it(headrace: Terminal, file: Path, tmp_path: Path) -> None:
    headrace("connectors", "push", file)
    record = headrace("connectors", "build", file, "--stored", "--set", "what=pens").output
    assert "document: shop" in record
    assert "endpoints" not in record
    made = tmp_path / "record.yaml"
    made.write_text(record)
    assert "created connector The shop" in headrace("apply", "-f", made, TOKEN="t-very-secret").output


def test_the_files_of_the_page_are_applied(headrace: Terminal, tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "yaml-connectors.md"
    document, record, pipeline = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    github, made, issues = (tmp_path / name for name in ("github.yaml", "connector.yaml", "issues.yaml"))
    github.write_text(document)
    issues.write_text(pipeline)
    headrace("connectors", "push", github)
    built = headrace("connectors", "build", github, "--stored", "--set", "owner=PrefectHQ").output
    assert next(read_yaml(built))[0] == next(read_yaml(record))[0]
    made.write_text(built)
    applied = headrace("apply", "-f", made, "-f", issues, TOKEN="gh-secret").output
    assert [f"created {each}" in applied for each in ("connector GitHub", "schema issues", "pipeline Issues")] == [
        True
    ] * 3


def test_documents_are_files_of_apply_and_export(headrace: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    record = {"kind": "connector", **connector(URL)}
    schema = {"kind": "schema", "name": "orders", "fields": [{"name": "id", "dataType": "bigint"}]}
    pipeline = {"kind": "pipeline", "connector": "the shop", "schema": "orders", **reading()}

    def write(document: dict[str, Any]) -> None:
        for name, each in {"a": pipeline, "b": schema, "c": record, "d": document}.items():
            (folder / f"{name}.yaml").write_text(write_yaml(each))

    write(shop(URL))
    dry = headrace("apply", "-f", folder, "--dry-run", code=3).output
    assert dry.index("yaml-connector shop") < dry.index("connector the shop") < dry.index("pipeline orders")
    headrace("apply", "-f", folder)
    assert "nothing to do" in headrace("apply", "-f", folder).output
    changed = shop(URL)
    changed["endpoints"].append({"id": "refunds", "path": "/refunds"})
    pipeline |= reading("refunds")
    write(changed)
    assert "endpoints" in headrace("apply", "-f", folder, "--dry-run", code=3).output
    headrace("apply", "-f", folder)
    pipeline |= reading("items")
    write(shop(URL))
    assert "the endpoint 'refunds'" in headrace.fails("apply", "-f", folder)
    headrace("apply", "-f", folder, "--confirm")
    out = tmp_path / "out"
    headrace("export", "-o", out)
    assert json.loads(headrace("export", "--json").output)[0] == shop(URL)
    assert {each.name for each in out.iterdir()} == {
        *("yaml-connector-shop.yaml", "connector-the-shop.yaml", "schema-orders.yaml", "pipeline-orders.yaml")
    }
    (folder / "d.yaml").write_text(write_yaml(shop(URL, version="9")))
    assert f"{folder}/d.yaml:2 (document 1): version" in headrace.fails("apply", "-f", folder)


def test_a_document_that_is_not_in_the_files_any_more_is_pruned(headrace: Terminal, file: Path) -> None:
    headrace("apply", "-f", file, "--set", "web")
    file.write_text(write_yaml(shop(URL, id="other")))
    assert "deleted yaml-connector shop" in headrace("apply", "-f", file, "--set", "web", "--prune").output
