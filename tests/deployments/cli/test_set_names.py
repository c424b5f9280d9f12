"""The default set of files: one per folder, and in a repository the same in every clone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from headrace.api.app import BASE_PATH
from headrace.deployments.cli.apply.set_names import set_name_for
from headrace.deployments.cli.documents.yaml_format import write_yaml
from tests.api.conftest import Facade
from tests.deployments.cli.conftest import CONNECTOR, SCHEMA, Terminal, pipeline_document


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=folder, check=True)


def clone(folder: Path, remote: str, *inside: str) -> Path:
    (folder.joinpath(*inside)).mkdir(parents=True)
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", remote)
    return folder.joinpath(*inside)


def test_folders_have_sets_of_their_own(tmp_path: Path) -> None:
    places = [tmp_path / "a" / "pipelines", tmp_path / "b" / "pipelines", tmp_path / "a"]
    for each in places:
        each.mkdir(parents=True, exist_ok=True)
        (each / "all.yaml").touch()
    found = [set_name_for([each]) for each in [*places, *(each / "all.yaml" for each in places)]]
    assert len(set(found)) == 6
    assert found[0] is not None
    assert found[0].startswith("pipelines-")
    assert set_name_for([places[0] / "." / ".." / "pipelines"]) == found[0]
    assert set_name_for([places[0], places[1]]) == set_name_for([tmp_path])
    assert set_name_for([Path("-")]) is None


@pytest.mark.parametrize(
    "remote",
    [
        "git@git.example.com:shop/flows.git",
        "https://token:secret@Git.example.com/shop/flows",
        "ssh://git@git.example.com:22/shop/flows/",
    ],
)
def test_every_clone_has_the_same(tmp_path: Path, remote: str) -> None:
    first = clone(tmp_path / "one", "https://git.example.com/shop/flows.git", "pipelines")
    other = clone(tmp_path / "elsewhere", remote, "pipelines")
    assert set_name_for([first]) == set_name_for([other])
    assert set_name_for([first]) != set_name_for([first.parent])
    assert set_name_for([first]) != set_name_for(
        [clone(tmp_path / "fork", "https://git.example.com/fork/flows.git", "pipelines")]
    )


def test_a_worktree_has_that_of_its_repository(tmp_path: Path) -> None:
    first = clone(tmp_path / "one", "https://git.example.com/shop/flows.git", "pipelines")
    (first / "x.yaml").touch()
    git(tmp_path / "one", "add", ".")
    git(tmp_path / "one", "commit", "-qm", "x")
    git(tmp_path / "one", "worktree", "add", "-q", str(tmp_path / "other"))
    assert set_name_for([tmp_path / "other" / "pipelines"]) == set_name_for([first])


def folder(path: Path, name: str) -> Path:
    path.mkdir()
    connector, schema = CONNECTOR | {"name": name}, SCHEMA | {"name": name, "displayName": name}
    document = pipeline_document(name, connector=name, schema=name)
    document["nodes"][1]["schema"] = f"public.ds_{name}"
    (path / "all.yaml").write_text("---\n".join(write_yaml(each) for each in (connector, schema, document)))
    return path


def there(facade: Facade) -> set[str]:
    return {each["name"] for each in facade.viewer.get(f"{BASE_PATH}/pipelines").json()["data"]}


@pytest.mark.postgres
def test_two_folders_do_not_prune_each_other(headrace: Terminal, facade: Facade, tmp_path: Path) -> None:
    one, two = folder(tmp_path / "one", "one"), folder(tmp_path / "two", "two")
    for each in (one, two, one, two):
        reported = headrace("apply", "-f", each, "--prune", "--confirm").output
        assert "delete" not in reported.replace("0 to delete", "")
        assert "not in the files" not in reported
    assert there(facade) == {"one", "two"}
    (one / "all.yaml").write_text(write_yaml(CONNECTOR | {"name": "one"}))
    headrace("apply", "-f", one, "--prune", "--confirm")
    assert there(facade) == {"two"}


@pytest.mark.postgres
def test_what_moves_to_another_folder_is_not_pruned_by_the_first(
    headrace: Terminal, facade: Facade, tmp_path: Path
) -> None:
    one, two = folder(tmp_path / "one", "one"), tmp_path / "two"
    headrace("apply", "-f", one)
    two.mkdir()
    (one / "all.yaml").rename(two / "all.yaml")
    (one / "rest.yaml").write_text(write_yaml(CONNECTOR | {"name": "rest"}))
    headrace("apply", "-f", two)
    assert "delete" not in headrace("apply", "-f", one, "--prune", "--confirm").output.replace("0 to delete", "")
    assert there(facade) == {"one"}


@pytest.mark.postgres
def test_what_an_earlier_release_applied_without_a_set_is_kept_and_reported(
    headrace: Terminal, facade: Facade, tmp_path: Path
) -> None:
    one, two = folder(tmp_path / "one", "one"), folder(tmp_path / "two", "two")
    for each in (one, two):
        headrace("apply", "-f", each, "--set", "default")
    reported = headrace("apply", "-f", one, "--prune").output
    assert "kept: connector two, pipeline two, schema two" in reported
    assert there(facade) == {"one", "two"}
    headrace("apply", "-f", one, "--set", "default", "--prune", "--confirm")
    assert there(facade) == {"one"}


@pytest.mark.postgres
def test_stdin_has_no_set_to_prune(headrace: Terminal, facade: Facade) -> None:
    assert "stdin belong to no set" in headrace.fails("apply", "-f", "-", "--prune")
