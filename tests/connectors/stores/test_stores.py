"""Tests of all file stores: files are listed, opened in one version, claimed by one run, and archived without loss."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.registry import of_type, source_for
from tests.connectors.stores.conftest import made
from tests.connectors.stores.places import Place, context


def names(files: list) -> list[str]:
    return sorted(file.name for file in files)


def test_files_and_folders_are_reported_apart(place: Place) -> None:
    for name in ("in/a.csv", "in/b.csv", "in/deep/c.csv", "top.csv"):
        place.add(name, name.encode())
    store = place.store()
    assert names(store.listing("in")) == ["in/a.csv", "in/b.csv"]
    assert names(store.listing("")) == ["top.csv"]
    assert (store.folders("in"), store.folders("nowhere")) == (["deep"], [])
    assert (store.is_folder("in"), store.is_file("in"), store.is_folder("in/a.csv")) == (True, False, False)
    found = store.stat("in/a.csv")
    assert found is not None
    assert (found.name, found.size) == ("in/a.csv", 8)
    assert found == next(each for each in store.listing("in") if each.name == "in/a.csv")
    assert (store.stat("in"), store.stat("in/x.csv")) == (None, None)


@pytest.mark.parametrize("name", ["ä b#1 [x].csv", "a+b&c=d.csv", "100%.csv", "e%20f.csv", "'q'.csv", "~x.csv"])
@pytest.mark.first_variant
def test_strange_names_lead_to_their_files(place: Place, name: str) -> None:
    place.add(f"in/{name}", b"id\n1\n")
    store = place.store()
    assert names(store.listing("in")) == [f"in/{name}"]
    with store.opened(f"in/{name}") as opened:
        assert opened.path.read_bytes() == b"id\n1\n"
    assert store.take(f"in/{name}", f"in/.processing/{name}")
    store.put(f"in/.processing/{name}", f"in/{name}")
    assert names(store.listing("in")) == [f"in/{name}"]
    assert place.content(f"in/{name}") == b"id\n1\n"


def test_what_is_not_there_is_reported_with_what_is(place: Place) -> None:
    place.add("orders/a.csv", b"x")
    store = place.store()
    with pytest.raises(SourceError, match=r"orders/.*Did you mean 'orders'") as refused:
        store.listing("order")
    assert refused.value.code == "file_not_found"
    with pytest.raises(SourceError, match=r"'orders/b.csv' does not exist. Folder 'orders' holds: a.csv"):
        store.opened("orders/b.csv").__enter__()
    with pytest.raises(SourceError) as refused, store.opened("orders/b.csv", missing="source_changed"):
        pass
    assert refused.value.code == "source_changed"


def test_a_file_is_read_by_a_path_without_a_name(place: Place, tmp_path: Path) -> None:
    content = os.urandom(20 << 20)
    place.add("big.bin", content)
    with place.store().opened("big.bin") as opened:
        assert opened.path.read_bytes() == content
        assert opened.file.size == len(content)
        assert opened.now() == opened.file
        assert os.readlink(opened.path).endswith("(deleted)")


def test_two_readers_share_one_copy(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.add("a.bin", b"x" * 1000)
    store = place.store()
    copies = set()
    go = threading.Barrier(4)

    def read() -> None:
        go.wait()
        with store.opened("a.bin") as opened:
            copies.add(os.stat(opened.path).st_ino)
            go.wait()

    threads = [threading.Thread(target=read) for _ in range(4)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    assert len(copies) == 1


def test_a_changed_version_is_noticed(place: Place) -> None:
    place.add("a.csv", b"id\n1\n2\n")
    store = place.store()
    with store.opened("a.csv") as opened:
        before = opened.file
        place.add("a.csv", b"id\n3\n4\n5\n")
        assert (opened.now().size, opened.now().version) != (before.size, before.version)
        assert opened.path.read_bytes() == b"id\n1\n2\n"
    with store.opened("a.csv") as opened:
        assert opened.path.read_bytes() == b"id\n3\n4\n5\n"


def test_a_file_that_changes_between_planning_and_reading_stops_the_run(place: Place) -> None:
    place.add("a.csv", b"id\n1\n2\n")
    source = source_for(place.connector, context(place, {"path": "a.csv"}))
    found = source.discover(max_partitions=1)
    place.add("a.csv", b"id\n3\n4\n5\n")
    with pytest.raises(SourceError) as refused:
        list(source.read(found.partitions[0], found.schema))
    assert refused.value.code == "source_changed"


def test_a_connection_that_is_cut_is_taken_up_again(place: Place) -> None:
    content = os.urandom(3 << 20)
    place.add("a.bin", content)
    store = place.store()
    assert store.is_file("a.bin")
    place.cut()
    with store.opened("a.bin") as opened:
        assert opened.path.read_bytes() == content


@pytest.mark.first_variant
def test_of_racers_one_takes_the_file(place: Place) -> None:
    place.add("in/a.csv", b"rows")
    stores = [place.store() for _ in range(8)]
    go = threading.Barrier(8)
    taken = []

    def race(number: int) -> None:
        go.wait()
        if stores[number].take("in/a.csv", f"in/.processing/run_{number}/a.csv"):
            taken.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    [winner] = taken
    assert [name for name in place.names() if name.endswith("a.csv")] == [f"in/.processing/run_{winner}/a.csv"]
    assert place.content(f"in/.processing/run_{winner}/a.csv") == b"rows"


def test_what_is_moved_keeps_its_version(place: Place) -> None:
    place.add("in/a.csv", b"rows")
    store = place.store()
    before = store.stat("in/a.csv")
    assert before is not None
    assert store.take("in/a.csv", "in/.processing/run/a.csv")
    assert not store.take("in/a.csv", "in/.processing/other/a.csv")
    [taken] = store.listing("in/.processing/run")
    store.put("in/.processing/run/a.csv", "in/.archive/a.csv")
    after = place.store().stat("in/.archive/a.csv")
    assert after is not None
    assert (before.size, before.version) == (taken.size, taken.version) == (after.size, after.version)
    assert store.listing("in/.archive") == [after]
    store.remove_folder("in/.processing/run")
    assert store.folders("in/.processing") == []


def test_nothing_is_overwritten(place: Place) -> None:
    place.add("in/a.csv", b"mine")
    place.add("out/a.csv", b"another's")
    store = place.store()
    with pytest.raises(FileExistsError):
        store.put("in/a.csv", "out/a.csv")
    assert (place.content("in/a.csv"), place.content("out/a.csv")) == (b"mine", b"another's")
    with pytest.raises(FileNotFoundError):
        store.put("in/none.csv", "out/none.csv")
    assert names(store.listing("in")) == ["in/a.csv"]


def test_small_texts_are_kept(place: Place) -> None:
    store = place.store()
    assert store.read("notes/a.json") is None
    store.write("notes/a.json", "one")
    store.write("notes/a.json", "two")
    assert store.read("notes/a.json") == "two"
    assert names(store.listing("notes")) == ["notes/a.json"]
    store.remove("notes/a.json")
    store.remove("notes/a.json")
    assert store.read("notes/a.json") is None


def test_a_connection_test_lists_what_it_sees(place: Place) -> None:
    place.add("a.csv", b"12345")
    place.add("in/deep/b.csv", b"1")
    connector = of_type(place.type)
    assert connector is not None
    before = place.names()
    found = connector.tried(context(place))
    assert found.message.startswith("1 file and 1 folder in ")
    assert found.sample["folders"] == ["in"]
    assert [(each["name"], each["size"]) for each in found.sample["files"]] == [("a.csv", 5)]
    assert place.names() == before


class TestBuckets:
    """What people and their tools leave in buckets."""

    @pytest.fixture
    def s3(self, request: pytest.FixtureRequest) -> Any:
        return made("s3", request)

    def test_an_empty_object_that_represents_a_folder_is_no_file(self, s3: Any) -> None:
        s3.add("in/", b"")
        s3.add("in/deep/", b"")
        s3.add("", b"")
        s3.add("in/a.csv", b"x")
        store = s3.store()
        assert names(store.listing("in")) == ["in/a.csv"]
        assert names(store.listing("")) == []
        assert (store.folders(""), store.folders("in"), store.is_file("in")) == (["in"], ["deep"], False)
        assert store.is_folder("in/deep")
        assert names(store.listing("in/deep")) == []

    def test_a_name_that_is_no_path_is_reported(self, s3: Any) -> None:
        s3.add("in//a.csv", b"x")
        with pytest.raises(SourceError, match=r"rename the object") as refused:
            s3.store().listing("in")
        assert refused.value.code == "bad_path"

    def test_a_bucket_that_is_missing_is_reported(self, s3: Any) -> None:
        connector = of_type("aws_s3")
        assert connector is not None
        with pytest.raises(SourceError, match=r"NoSuchBucket .* Create the bucket") as refused:
            connector.tried(context(s3, bucket="nowhere"))
        assert refused.value.code == "no_such_bucket"
