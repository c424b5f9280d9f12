"""Files are read into documents; all faults are reported with file, line, document and path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from headrace.deployments.cli.app import app
from headrace.deployments.cli.documents.load import Document, DocumentsInvalid, load_documents
from headrace.deployments.cli.documents.placeholders import escaped, expand
from headrace.deployments.cli.documents.yaml_format import ParseFault, read_yaml, write_yaml
from headrace.deployments.errors import HeadraceError
from headrace.ir.problems import Problem
from tests.deployments.cli.conftest import CONNECTOR, SCHEMA, pipeline_document


def load(folder: Path, text: str, file: str = "all.yaml", **environment: str) -> list[Document]:
    (folder / file).write_text(text)
    return load_documents([folder], environment)


def faults(folder: Path, text: str, file: str = "all.yaml", **environment: str) -> list[Problem]:
    with pytest.raises(DocumentsInvalid) as caught:
        load(folder, text, file, **environment)
    return list(caught.value.problems)


def test_yaml_of_several_documents_json_and_lists_are_read_from_nested_folders(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "schema.json").write_text(json.dumps([SCHEMA]))
    (tmp_path / "README.md").write_text("not read")
    text = "---\n".join(write_yaml(each) for each in (CONNECTOR, pipeline_document()))
    found = load(tmp_path, text)
    assert [(each.kind, each.name) for each in found] == [
        ("connector", "files"),
        ("pipeline", "Orders"),
        ("schema", "orders"),
    ]
    assert found[1].ir is not None
    assert set(found[1].ir) == {"kind", "version", "id", "metadata", "nodes"}


def test_yaml_means_what_json_means(tmp_path: Path) -> None:
    text = "day: 2026-01-05\ncountry: no\nat: 12:30\ncode: 010\nbig: 1_000\non: yes\nnothing:\nsum: 1.5\nyes: true\n"
    [(value, _)] = read_yaml(text)
    assert value == {
        **{"day": "2026-01-05", "country": "no", "at": "12:30", "code": "010", "big": "1_000", "on": "yes"},
        **{"nothing": None, "sum": 1.5, "yes": True},
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON.filter(lambda value: value is not None))
def test_what_is_written_is_read_again(value: Any) -> None:
    text = write_yaml(value)
    try:
        [(read, _)] = read_yaml(text)
    except ParseFault:
        # a file cannot hold every character, escaped or not; JSON can
        assert any(0xD800 <= ord(letter) <= 0xDFFF for letter in json.dumps(value, ensure_ascii=False))
    else:
        assert json.dumps(read) == json.dumps(value)


@given(st.text())
def test_an_exported_text_is_expanded_to_itself(text: str) -> None:
    problems: list[Problem] = []
    assert expand(escaped(text), "config.x", {}, problems) == text
    assert problems == []


def test_every_fault_is_reported_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("kind: conector\nname: x\n---\n- 1\n---\nname: y\n")
    text = (
        "kind: connector\nname: files\ntype: local_f\n---\n"
        "kind: schema\nname: orders\nfields:\n  - name: id\n    dataType: bigin\n  - name: id\nsize: 3\n---\n"
        "kind: pipeline\nconnector: files\nschema: orders\nactive: maybe\nversion: '1.0'\nid: x\n"
        "metadata: {name: X}\nnodes:\n- {id: a, kind: source, connector: local_fs, config: {path: x}}\n"
        "- id: b\n  kind: target\n  input: a\n  schema: public.x\n  lodMode: append\n"
    )
    found = {each.path: each.code for each in faults(tmp_path, text)}
    assert found == {
        f"{tmp_path}/all.yaml:3 (document 1): type": "unknown_type",
        f"{tmp_path}/all.yaml:9 (document 2): fields[0].dataType": "unknown_type",
        f"{tmp_path}/all.yaml:11 (document 2): size": "unknown_field",
        f"{tmp_path}/all.yaml:26 (document 3): nodes[1].lodMode": "unknown_field",
        f"{tmp_path}/all.yaml:16 (document 3): active": "bool_parsing",
        f"{tmp_path}/other.yaml:1 (document 1): kind": "unknown_kind",
        f"{tmp_path}/other.yaml:4 (document 2)": "not_an_object",
        f"{tmp_path}/other.yaml:6 (document 3): kind": "unknown_kind",
    }


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("a.yaml", "kind: connector\nname: [", "a.yaml:2 (document 1)"),
        ("a.yaml", "kind: connector\nkind: schema\n", "a.yaml:2 (document 1)"),
        ("a.yaml", "a: !!python/object/apply:os.system ['true']\n", "a.yaml:1 (document 1)"),
        ("a.json", '{"kind": "connector",\n]', "a.json:2 (document 1)"),
    ],
)
def test_what_is_no_yaml_or_json_is_a_fault_with_its_line(tmp_path: Path, file: str, text: str, place: str) -> None:
    [problem] = faults(tmp_path, text, file)
    assert (problem.path, problem.code) == (f"{tmp_path}/{place}", "malformed")


def test_the_same_name_twice_is_a_fault_that_names_both_places(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(write_yaml(SCHEMA | {"name": "ORDERS"}))
    [problem] = faults(tmp_path, write_yaml(SCHEMA))
    assert problem.code == "duplicate_name"
    assert "all.yaml:1" in problem.message
    assert "b.yaml" in problem.path


def test_variables_are_filled_in_in_settings_and_credentials_alone(tmp_path: Path) -> None:
    connector = CONNECTOR | {"type": "rest_api", "config": {"url": "https://${HOST}/$${x}"}}
    connector |= {"authConfig": {"token": "${TOKEN}"}, "description": "${HOST}"}
    text = write_yaml(connector) + "---\n" + write_yaml(pipeline_document(description="${HOST}"))
    found = load(tmp_path, text, HOST="shop.example", TOKEN="s3cret")
    assert found[0].connector.config == {"url": "https://shop.example/${x}"}
    assert found[0].connector.auth_config == {"token": "s3cret"}
    assert found[0].connector.description == found[1].pipeline.description == "${HOST}"


def test_a_block_of_prefect_is_stored_as_a_reference(tmp_path: Path) -> None:
    connector = CONNECTOR | {
        "type": "csv_upload",
        "authConfig": {"a": "${prefect:secret/db}", "b": ["${prefect:x/y/z.w}"]},
    }
    [found] = load(tmp_path, write_yaml(connector))
    assert found.connector.auth_config == {"a": "prefect://secret/db", "b": ["prefect://x/y/z.w"]}
    [found] = load(tmp_path, write_yaml(connector | {"authConfig": "${prefect:aws-credentials/prod}"}))
    assert found.connector.auth_config == {"*": "prefect://aws-credentials/prod"}


def test_a_variable_that_is_missing_and_half_a_block_reference_are_faults_and_never_stored(tmp_path: Path) -> None:
    secrets = {"a": "${MISSING}", "b": {"c": ["x${prefect:secret/db}"]}, "d": "${not a name}", "e": "${prefect:Secret}"}
    found = faults(tmp_path, write_yaml(CONNECTOR | {"type": "csv_upload", "authConfig": secrets}))
    assert [(each.path.rpartition(": ")[2], each.code) for each in found] == [
        ("authConfig.a", "missing_variable"),
        ("authConfig.b.c[0]", "unsupported_reference"),
        ("authConfig.d", "invalid_placeholder"),
        ("authConfig.e", "bad_block_reference"),
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match=r"nowhere\.yaml cannot be read"):
        load_documents([tmp_path / "nowhere.yaml"], {})
    with pytest.raises(HeadraceError, match="There is no"):
        load_documents([tmp_path], {})


def test_the_documents_of_the_manual_are_valid(tmp_path: Path) -> None:
    manual = Path(__file__).parents[3] / "docs" / "cli.md"
    text = manual.read_text().partition("```yaml\n")[2].partition("```")[0]
    found = load(tmp_path, text, SHOP_PASSWORD="x")
    assert [each.kind for each in found] == ["connector", "connector", "schema", "pipeline"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_is_taught_to_complete(shell: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Without it Typer looks for the shell it runs under, and there may be none; it is read when commands are built.
    monkeypatch.setattr("typer.testing._get_command", typer.main.get_command)
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    script = CliRunner().invoke(app, ["--show-completion", shell], prog_name="headrace")
    assert script.exit_code == 0, script.output
    assert "_HEADRACE_COMPLETE" in script.output
    monkeypatch.setenv("HOME", str(tmp_path))
    installed = CliRunner().invoke(app, ["--install-completion", shell], prog_name="headrace")
    assert installed.exit_code == 0, installed.output
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_HEADRACE_COMPLETE" in text for text in written)
