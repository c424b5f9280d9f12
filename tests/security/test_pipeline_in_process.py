"""A document in process reads below its files folder only, discloses no secret and runs no code."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace import HeadraceError, Pipeline, PipelineInvalid
from headrace.testing import land

DOCUMENT = """
kind: pipeline
version: "1.0"
id: p
metadata: {name: P}
connector: shop
nodes:
- {id: src, kind: source, connector: CONNECTOR, config: {path: PATH}}
- {id: tgt, kind: target, input: src, schema: public.ds_p}
---
kind: connector
name: shop
type: local_fs
"""


def document(path: str, connector: str = "local_fs") -> str:
    return DOCUMENT.replace("PATH", path).replace("CONNECTOR", connector)


@pytest.mark.parametrize("path", ["../secret.csv", "link.csv", "sub/../../secret.csv"])
def test_no_file_outside_of_the_folder_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.csv").write_text("id\nsesame\n")
    root = tmp_path / "files"
    root.mkdir()
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    pipeline = Pipeline.from_yaml(document(path))
    with pytest.raises(PipelineInvalid) as refused:
        pipeline.preview("src", files_root=root)
    assert "sesame" not in str(refused.value)
    with pytest.raises(PipelineInvalid):
        pipeline.plan(files_root=root)


def test_an_absolute_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("id\n1\n")
    root = tmp_path / "files"
    root.mkdir()
    with pytest.raises(PipelineInvalid):
        Pipeline.from_yaml(document(str(tmp_path / "secret.csv"))).preview("src", files_root=root)


def test_given_rows_stay_in_their_folder() -> None:
    with pytest.raises(HeadraceError):
        land(Pipeline.from_yaml(document("../p.csv")), {"src": "id\n1\n"}, server="postgresql://127.0.0.1:9/none")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system"])
def test_yaml_makes_no_objects(tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeadraceError):
        Pipeline.from_yaml(f"kind: pipeline\nid: {tag}\n").plan(files_root=".")
    assert not (tmp_path / "ran").exists()


def test_a_password_is_in_no_message_and_no_repr(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    pipeline = Pipeline.from_yaml(document("a.csv"))
    with pytest.raises(HeadraceError) as refused:
        pipeline.run(files_root=tmp_path, database_url="postgresql://u:opensesame@127.0.0.1:9/none?connect_timeout=2")
    seen: BaseException | None = refused.value
    while seen is not None:
        assert "opensesame" not in str(seen)
        seen = seen.__cause__
    assert "opensesame" not in repr(pipeline)


def test_a_variable_that_is_not_set_is_named_and_blocks_of_prefect_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    for value, code in (("${NOT_SET_ANYWHERE}", "missing_variable"), ("${prefect:secret/x}", "unsupported_reference")):
        text = document("a.csv") + f"authConfig: {{password: '{value}'}}\n"
        with pytest.raises(PipelineInvalid) as refused:
            Pipeline.from_yaml(text).plan(files_root=tmp_path)
        assert [each.code for each in refused.value.problems] == [code]
