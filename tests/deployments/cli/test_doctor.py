"""The doctor checks the place of rows between stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.deployments.cli.doctor.checks import find_targets
from headrace.deployments.cli.doctor.files import staging
from headrace.deployments.cli.doctor.finding import Finding
from headrace.deployments.stack.layout import Layout
from headrace.deployments.stack.state import StackState
from tests.object_store import SECRET, ObjectStore


def only(url: str, files_root: Path | None) -> Finding:
    (finding,) = staging(url, files_root)
    return finding


def test_a_folder_for_rows_between_stages_must_be_writable(tmp_path: Path) -> None:
    assert list(staging("", None)) == []
    beside = only("", tmp_path / "files")
    assert (beside.verdict, beside.found) == ("ok", str(tmp_path / "staging"))
    assert not (tmp_path / "staging").exists()
    (tmp_path / "file").write_text("a file is here")
    wrong = only(str(tmp_path / "file"), None)
    assert (wrong.verdict, wrong.remedy) == ("failed", "Make room or set HEADRACE_STAGING_URL to another folder.")


def test_an_object_store_for_rows_between_stages_must_be_usable(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    url = object_store.url()
    assert only(url, None) == Finding("staging", "ok", url)
    object_store.refuse("PUT", "403 Forbidden", "AccessDenied")
    denied = only(url, None)
    assert denied.verdict == "failed"
    assert denied.found == f"{url}: AccessDenied (That is how it is)"
    assert denied.remedy == "Let its user list, read, write and delete objects there."
    missing = only("s3://nowhere/x", None)
    assert missing.remedy == "Make the bucket or set HEADRACE_STAGING_URL to another."


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "s3://", f"s3://key:{SECRET}@rows/x", "s3://rows/x?token=1", "file://x"]
)
def test_a_url_that_cannot_hold_rows_is_refused_without_being_repeated(url: str) -> None:
    found = only(url, None)
    assert found.verdict == "failed"
    assert "s3://bucket/prefix" in found.remedy
    assert SECRET not in found.found + found.remedy


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        (None, True),
        ("http://127.0.0.1:8000", True),
        ("http://127.0.0.1:8000/", True),
        ("http://127.0.0.1:8000/api/v1", True),
        ("http://127.0.0.1:800", False),
        ("http://127.0.0.1", False),
        ("http://127.0.0.1:80", False),
        ("http://127.0.0.1:8000/api", False),
        ("http", False),
        ("", False),
    ],
)
def test_the_key_of_a_stack_is_for_its_own_address_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None, ours: bool
) -> None:
    monkeypatch.delenv("HEADRACE_DATABASE_URL", raising=False)
    api, database = "http://127.0.0.1:8000/api/v1", "postgresql://d"
    state = StackState(api, "hr_x", "http://p", "http://p/api", "headrace:x", database, tmp_path, 7)
    state.write(Layout.of(tmp_path).state)
    found = find_targets(url, None, tmp_path)
    assert found.api_key == ("hr_x" if ours else None)
    assert found.database_url == ("postgresql://d" if ours else None)
