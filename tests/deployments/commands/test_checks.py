"""The doctor looks whether rows between stages can be kept, and says how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.commands.checks import Finding, staging
from tests.object_store import SECRET, ObjectStore


def only(url: str, files_root: Path | None) -> Finding:
    (finding,) = staging(url, files_root)
    return finding


def test_a_folder_for_rows_between_stages_must_be_writable(tmp_path: Path) -> None:
    assert list(staging("", None)) == []
    beside = only("", tmp_path / "files")
    assert (beside.verdict, beside.found) == ("ok", str(tmp_path / "staging"))
    assert not (tmp_path / "staging").exists()
    (tmp_path / "file").write_text("a file stands here")
    wrong = only(str(tmp_path / "file"), None)
    assert (wrong.verdict, wrong.mend) == ("failed", "Make room or set HEADRACE_STAGING_URL to another folder.")


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
    assert denied.mend == "Let its user list, read, write and delete objects there."
    missing = only("s3://nowhere/x", None)
    assert missing.mend == "Make the bucket or set HEADRACE_STAGING_URL to another."


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "s3://", f"s3://key:{SECRET}@rows/x", "s3://rows/x?token=1", "file://x"]
)
def test_a_url_that_cannot_hold_rows_is_refused_without_being_repeated(url: str) -> None:
    found = only(url, None)
    assert found.verdict == "failed"
    assert "s3://bucket/prefix" in found.mend
    assert SECRET not in found.found + found.mend
