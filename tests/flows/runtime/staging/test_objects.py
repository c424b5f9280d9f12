"""Transient errors of an object store are retried; refusals are reported with a hint."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from headrace.flows.runtime.staging import objects
from headrace.flows.runtime.staging.files import StagingFiles, probe
from headrace.flows.runtime.staging.storage import StagingFailed
from tests.object_store import BUCKET, SECRET, ObjectStore

FRAME = pl.DataFrame({"id": range(5000)})


@pytest.fixture(autouse=True)
def store(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    backoff = objects.PATIENCE["backoff"] | {"init_backoff": timedelta(milliseconds=1)}
    monkeypatch.setattr(objects, "PATIENCE", objects.PATIENCE | {"backoff": backoff})
    return object_store


def test_what_fails_for_a_moment_is_repeated(store: ObjectStore) -> None:
    files = StagingFiles(store.url(), "run_1")
    store.refuse("PUT", "503 Slow Down", "SlowDown", times=2)
    files.begin(afresh=True)
    store.refuse("PUT", "500 Oh", "InternalError", times=2)
    files.write("a/0000", "p.parquet", FRAME)
    store.refuse("GET", "503 Slow Down", "SlowDown")
    assert [file.name for file in files.list("a")] == ["p.parquet"]
    store.break_off()
    with files.reading("a/0000", ["p.parquet"], FRAME.schema) as rows:
        assert rows.collect().equals(FRAME)
    store.refuse("POST", "503 Slow Down", "SlowDown")
    files.remove()
    assert list(files.list("a")) == []


@pytest.mark.parametrize(
    ("status", "code", "reason", "remedy"),
    [
        ("403 Forbidden", "AccessDenied", "AccessDenied (That is how it is)", "Let its user list, read, write"),
        ("403 Forbidden", "InvalidAccessKeyId", "InvalidAccessKeyId", "Give valid credentials by AWS_ACCESS_KEY_ID"),
        ("301 Moved", "PermanentRedirect", "incorrectly configured region", "Set AWS_REGION to the bucket's region"),
    ],
)
def test_what_is_refused_for_good_is_reported_with_what_helps(
    store: ObjectStore, status: str, code: str, reason: str, remedy: str
) -> None:
    url = store.url()
    files = StagingFiles(url, "run_1")
    asked = len(store.asked)
    store.refuse("PUT", status, code)
    with pytest.raises(StagingFailed) as raised:
        files.write("a/0000", "p.parquet", FRAME)
    assert len(store.asked) == asked + 1
    text = str(raised.value)
    assert text.startswith(f"Rows between stages cannot be kept in {url}: ")
    assert reason in text
    assert remedy in text
    assert text.endswith("and retry the run: it continues after what is committed.")
    assert SECRET not in text
    assert "headrace" not in text.replace("HEADRACE_", "")


def test_a_bucket_that_is_missing_is_named(store: ObjectStore) -> None:
    for work in (lambda files: files.begin(afresh=True), lambda files: files.write("a", "p.parquet", FRAME)):
        with pytest.raises(
            StagingFailed, match=r"s3://nowhere/x: NoSuchBucket .*\. Make the bucket or set HEADRACE_ST"
        ):
            work(StagingFiles("s3://nowhere/x", "run_1"))


def test_rows_are_counted_by_the_end_of_the_file_only(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_END", 20)
    files = StagingFiles(store.url(), "run_1")
    files.append("a/0000", "p.parquet", [FRAME, FRAME])
    assert files.height("a/0000", "p.parquet") == 10_000
    gone = StagingFiles(store.url(), "run_1")
    with pytest.raises(StagingFailed, match="404 Not Found"):
        gone.height("a/0000", "p.parquet")


def test_a_file_that_is_gone_is_reported(store: ObjectStore) -> None:
    files = StagingFiles(store.url(), "run_1")
    reading = files.reading("a/0000", ["p.parquet"], FRAME.schema)
    with pytest.raises(StagingFailed, match="NoSuchKey"), reading:
        pass


def test_an_endpoint_that_is_away_is_reported_when_it_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StagingFailed, match=r"error sending request\. See that the object store answers and that AWS_"):
        probe(f"s3://{BUCKET}/x")


def test_what_is_not_ours_is_left_alone(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "FORGOTTEN_AFTER_S", -3600)
    url = store.url()
    place = objects.ObjectFolder(url, "run_1-1")
    other = objects.ObjectFolder(url, "run_2-1")
    other.begin(afresh=True)
    with objects.ObjectFolder(url, "kept").new("x.txt") as path:  # ends after its run: there is no .begun
        path.write_text("rows")
    objects.obstore.put(place._store, "photos/cat.jpg", b"cat")
    place.begin(afresh=True)
    assert store.names(url) == ["photos/cat.jpg", "run_1-1.rows/.begun"]


def test_no_room_for_files_on_their_way_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(objects, "scratch_folder", lambda: tmp_path / "gone")
    with pytest.raises(
        StagingFailed, match=r"No such file .* in the folder for temporary files\. Make room there or set T"
    ):
        StagingFiles(f"s3://{BUCKET}/x", "run_1").append("a", "p.parquet", [FRAME])
