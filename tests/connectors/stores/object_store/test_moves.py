"""A process may die between any two requests of a move, and another may be at it at the same time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.files.store import FileStore
from headrace.connectors.stores.object_store import bucket, moves
from headrace.connectors.stores.object_store.objects import ObjectFiles
from tests.connectors.stores.conftest import OBJECTS, made
from tests.connectors.stores.places import Place

STEPS = 60
"""No move asks so often."""


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(params=OBJECTS)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = made(request.param, request)
    return found


def dying(store: FileStore, monkeypatch: pytest.MonkeyPatch, after: int) -> FileStore:
    """The store, whose process dies before its request number `after`."""
    left = [after]

    def counted(method: Any) -> Any:
        def asked(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return method(*args, **kwargs)

        return asked

    assert isinstance(store, ObjectFiles)
    real = store._bucket

    class Dying:
        place = real.place

        def __getattr__(self, name: str) -> Any:
            return counted(getattr(real, name))

    again = ObjectFiles(Dying())  # type: ignore[arg-type]
    again._moves._exclusive = True
    return again


def whole(place: Place) -> list[str]:
    return [name for name in place.names() if ".headrace/" not in name]


def notes(place: Place) -> list[str]:
    return [name for name in place.names() if "/moving/" in name or "/taken/" in name]


@pytest.mark.parametrize("resumed", ["by its retry", "by another run"])
@pytest.mark.first_variant
def test_a_take_that_died_anywhere_is_finished_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, resumed: str
) -> None:
    monkeypatch.setattr(moves, "HELPED_AFTER_S", -1.0)
    mine, theirs = "in/.processing/run_1/n", "in/.processing/run_2/n"
    for step in range(0, STEPS, stride(place)):
        place.add("in/a.csv", b"rows")
        try:
            dying(place.store(), monkeypatch, step).take("in/a.csv", f"{mine}/a.csv")
            finished = True
        except Killed:
            finished = False
        store = place.store()
        assert len(whole(place)) in (1, 2)
        if resumed == "by another run":
            taken = store.take("in/a.csv", f"{theirs}/a.csv")
            owners = [folder for folder in (mine, theirs) if store.is_folder(folder) and named(store, folder)]
            assert owners == ([theirs] if taken else [mine])
        else:  # which looks first at what it has
            seen = [name for folder in (mine, "in") if store.is_folder(folder) for name in named(store, folder)]
            assert seen in ([f"{mine}/a.csv"], ["in/a.csv"])
            if seen == ["in/a.csv"]:
                assert store.take("in/a.csv", f"{mine}/a.csv")
        [left] = whole(place)
        assert place.content(left) == b"rows"
        owner = left.removesuffix("/a.csv")
        store.put(left, "out/a.csv")
        store.remove_folder(owner)
        store.remove("out/a.csv")
        assert notes(place) == [] or owner == theirs
        for name in place.names():
            store.remove(name)
        if finished:
            assert step > 5
            return
    raise AssertionError("it never ended")


def stride(place: Place) -> int:
    """The steps are the same everywhere: one store is killed before each, the others before some."""
    return 1 if place.connector == "s3" else 5


def named(store: FileStore, folder: str) -> list[str]:
    return [file.name for file in store.listing(folder)]


@pytest.mark.first_variant
def test_a_put_that_died_anywhere_is_finished_by_the_same_call(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(0, STEPS, stride(place)):
        place.add("in/.processing/run/n/a.csv", b"rows")
        version = place.store().stat("in/.processing/run/n/a.csv").version  # type: ignore[union-attr]
        try:
            dying(place.store(), monkeypatch, step).put("in/.processing/run/n/a.csv", "in/a.csv")
            finished = True
        except Killed:
            finished = False
        store = place.store()
        if store.take("in/a.csv", "x/a.csv"):  # nobody gets it while it lies at two places
            assert whole(place) == ["x/a.csv"]
            store.put("x/a.csv", "in/a.csv")
        with suppress(FileNotFoundError):
            store.put("in/.processing/run/n/a.csv", "in/a.csv")
        assert named(store, "in") == whole(place) == ["in/a.csv"]
        found = store.stat("in/a.csv")
        assert found is not None
        assert (found.version, place.content("in/a.csv")) == (version, b"rows")
        assert notes(place) == []
        for name in place.names():
            store.remove(name)
        if finished:
            return
    raise AssertionError("it never ended")


def test_what_comes_under_the_name_of_a_file_that_is_being_taken_is_another_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.add("in/a.csv", b"old")
    store = place.store()
    assert isinstance(store, ObjectFiles)
    copy = bucket.Bucket.copy

    def overtaken(self: Any, path: str, to: str, **kwargs: Any) -> None:
        copy(self, path, to, **kwargs)
        place.add("in/a.csv", b"new!")

    monkeypatch.setattr(bucket.Bucket, "copy", overtaken)
    assert not store.take("in/a.csv", "in/.processing/run/a.csv")
    assert place.names() == ["in/a.csv"]
    assert place.content("in/a.csv") == b"new!"


def test_a_store_without_conditional_writes_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.add("in/a.csv", b"old")
    monkeypatch.setattr(bucket.Bucket, "put_new", bucket.Bucket.put)
    with pytest.raises(SourceError, match="knows no conditional writes"):
        place.store().take("in/a.csv", "in/.processing/run/a.csv")
    assert place.names() == ["in/a.csv"]


def test_what_is_too_large_to_be_copied_by_the_server_goes_through_here(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "COPIED_AT_ONCE", 10)
    place.add("in/a.csv", b"x" * 100)
    place.add("out/a.csv", b"x")
    store = place.store()
    assert store.take("in/a.csv", "run/a.csv")
    with pytest.raises(FileExistsError):
        store.put("run/a.csv", "out/a.csv")
    store.put("run/a.csv", "in/a.csv")
    assert place.content("in/a.csv") == b"x" * 100
