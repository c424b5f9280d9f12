"""Each file is claimed by one run, archived after it, and found again after a crash at any step."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.file_claims import FileClaims
from headrace.connectors.files.arrival.inbox import ClaimedFiles
from headrace.connectors.files.arrival.settings import ArrivalRules
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.local.local_store import LocalStore
from headrace.connectors.files.selection import Selection
from tests.effort import examples

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
CONFIG: dict[str, Any] = {"pattern": {"type": "glob", "value": "*.csv"}, "ordering": "fifo", "atomicity": {}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three files, the oldest first by time and last by name."""
    folder = tmp_path / "files"
    (folder / "in").mkdir(parents=True)
    for number, name in enumerate(["c", "b", "a"]):
        put(folder / "in" / f"{name}.csv", f"id\n{number}\n", age=100 - number)
    return folder


def put(path: Path, text: str = "id\n1\n", age: float = 100) -> None:
    path.write_text(text)
    os.utime(path, (path.stat().st_mtime - age,) * 2)


def claims(root: Path, store: LocalStore | None = None, **config: Any) -> FileClaims:
    config = CONFIG | config
    return FileClaims(
        store or LocalStore(root),
        "in",
        in_folder=True,
        selection=Selection.from_config(config),
        rules=ArrivalRules.from_config(config),
    )


def claim(of: FileClaims, owner: str = "run_1/src") -> list[str]:
    """The names of what was taken; empty when there was nothing."""
    look = of.look(owner, NOW)
    if not look.found:
        return []
    try:
        return [name.removeprefix("in/") for name in of.claim(owner, look).places]
    except SourceError as error:
        if error.code != "file_not_found":
            raise
        return []


def tree(root: Path) -> list[str]:
    """Every file below `in`, the records of claims apart; today's folder of the archive is called TODAY."""
    today = f"{datetime.now(UTC):%Y/%m/%d}"
    files = [path for path in (root / "in").rglob("*") if path.is_file() and ".claims" not in path.parts]
    return sorted(path.relative_to(root / "in").as_posix().replace(today, "TODAY") for path in files)


@pytest.mark.parametrize(
    ("ordering", "taken"),
    [
        ("fifo", [["c.csv"], ["b.csv"], ["a.csv"], []]),
        ("latest_by_mtime", [["a.csv"], ["b.csv"], ["c.csv"], []]),
        ("lexicographic", [["a.csv"], ["b.csv"], ["c.csv"], []]),
        ("process_all", [["a.csv", "b.csv", "c.csv"], []]),
    ],
)
def test_each_run_takes_the_next_in_the_ordering(root: Path, ordering: str, taken: list[list[str]]) -> None:
    of = claims(root, ordering=ordering)
    assert [claim(of, f"run_{number}/src") for number in range(len(taken))] == taken


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ({"type": "glob", "value": "[ab].csv"}, ["a.csv", "b.csv"]),
        ({"type": "regex", "value": r"[bc]\.csv"}, ["b.csv", "c.csv"]),
        ({"type": "date_glob", "value": "{YYYY-MM-DD}*", "timezone": "Pacific/Auckland"}, ["2024-03-02.csv"]),
    ],
)
def test_what_does_not_match_stays(root: Path, pattern: dict[str, str], taken: list[str]) -> None:
    put(root / "in" / "2024-03-01.csv")
    put(root / "in" / "2024-03-02.csv")  # already today in Auckland
    assert claim(claims(root, ordering="process_all", pattern=pattern)) == taken


def test_a_claimed_file_is_read_where_it_lies_under_the_name_it_arrived_with(root: Path) -> None:
    config = CONFIG | {"path": "in"}
    files = local_files(config, files_root=root)
    before = files.discover(max_partitions=1)
    held = files.arrivals.claim("run_1/src", files.arrivals.look("run_1/src", NOW))
    assert held.places == {"in/c.csv": "in/.processing/run_1/src/c.csv"}
    assert tree(root) == [".processing/run_1/src/c.csv", "a.csv", "b.csv"]

    again = local_files(config, files_root=root)
    found = again.arrivals.located("run_1/src", whole=True)
    assert found is not None
    again.hold(found)
    assert again.discover(max_partitions=1) == before
    assert again.fingerprint() == before.fingerprint
    files.arrivals.loaded("run_1/src")
    moved = files.arrivals.located("run_1/src", whole=True)
    assert moved is not None
    again.hold(moved)
    assert again.fingerprint() == before.fingerprint
    [batch] = again.read(before.partitions[0], before.schema)
    assert batch.frame["id"].to_list() == [0]


def test_a_path_may_name_one_file(root: Path) -> None:
    of = local_files({"path": "in/b.csv", "atomicity": {}}, files_root=root).arrivals
    held = of.claim("run_1/src", of.look("run_1/src", NOW))
    assert held.places == {"in/b.csv": "in/.processing/run_1/src/b.csv"}
    assert not of.look("run_2/src", NOW).found
    of.loaded("run_1/src")
    assert tree(root) == [".archive/TODAY/b.csv", "a.csv", "c.csv"]


def test_loaded_files_go_to_the_dated_folder_and_never_overwrite(root: Path) -> None:
    atomicity = {"successFolder": "done/{YYYY-MM-DD}/"}
    of = claims(root, atomicity=atomicity)
    for number, text in enumerate(["first", "second", "third"]):
        put(root / "in" / "c.csv", text)
        assert claim(of, f"run_{number}/src") == ["c.csv"]
        of.loaded(f"run_{number}/src")
        of.loaded(f"run_{number}/src")  # once is enough
    day = root / "in" / "done" / f"{datetime.now(UTC):%Y-%m-%d}"
    assert {path.name: path.read_text() for path in day.iterdir()} == {
        "c.csv": "first",
        "c-2.csv": "second",
        "c-3.csv": "third",
    }
    assert not list((root / "in" / ".processing").glob("run_*"))


def test_a_name_that_comes_every_day_is_numbered_through(root: Path) -> None:
    config = {"atomicity": {"successFolder": "done"}, "pattern": {"type": "glob", "value": "*.csv.gz"}}
    for number in range(9):
        put(root / "in" / "day.csv.gz", f"{number}")
        of = claims(root, **config)
        claim(of, f"run_{number}/src")
        of.loaded(f"run_{number}/src")
    expected = {"day.csv.gz": "0"} | {f"day-{number + 1}.csv.gz": f"{number}" for number in range(1, 9)}
    assert {path.name: path.read_text() for path in (root / "in" / "done").iterdir()} == expected


def test_a_file_that_somebody_moved_out_of_staging_is_reported_and_stops_nothing(root: Path) -> None:
    of = claims(root)
    claim(of)
    (root / "in" / ".processing" / "run_1" / "src" / "c.csv").unlink()
    [reported] = of.loaded("run_1/src")
    assert "no longer exists: it was moved by someone" in reported


def test_a_file_that_cannot_be_read_is_put_aside_alone(root: Path) -> None:
    of = claims(root, ordering="process_all")
    claim(of)
    assert of.unreadable("run_1/src", "in/b.csv") == ("'in/b.csv' moved to 'in/.failed/b.csv'",)
    assert tree(root) == [".failed/b.csv", ".processing/run_1/src/a.csv", ".processing/run_1/src/c.csv"]
    rest = of.located("run_1/src", whole=False)
    assert rest is not None
    assert list(rest.places) == ["in/a.csv", "in/c.csv"]
    assert "left out: 'in/b.csv' is in 'in/.failed/b.csv'" in rest.notes[0]
    with pytest.raises(
        SourceError, match=r"'in/b.csv' is in 'in/.failed/b.csv', because it could not be read"
    ) as reported:
        of.located("run_1/src", whole=True)
    assert reported.value.code == "file_failed"


def test_a_corrected_file_that_was_put_back_is_taken_again_by_the_same_run(root: Path) -> None:
    of = claims(root)
    claim(of)
    of.unreadable("run_1/src", "in/c.csv")
    with pytest.raises(SourceError, match="put it back where it arrived"):
        of.located("run_1/src", whole=False)
    (root / "in" / ".failed" / "c.csv").rename(root / "in" / "c.csv")
    assert of.located("run_1/src", whole=False) is None
    assert claim(of) == ["c.csv"]


def test_a_file_that_is_gone_is_named(root: Path) -> None:
    of = claims(root)
    claim(of)
    of.loaded("run_1/src")
    [archived] = (root / "in" / ".archive").rglob("*.csv")
    archived.unlink()
    with pytest.raises(SourceError, match=r"'in/c.csv' should lie in 'in/.archive/.*' and no longer exists"):
        of.located("run_1/src", whole=True)


def test_released_files_are_back_where_they_were(root: Path) -> None:
    of = claims(root, ordering="process_all")
    claim(of)
    of.release("run_1/src")
    assert tree(root) == ["a.csv", "b.csv", "c.csv"]
    assert of.located("run_1/src", whole=False) is None


def test_who_finds_nothing_is_reported_which_run_has_such_files(root: Path) -> None:
    of = claims(root, ordering="process_all")
    put(root / "in" / "notes.txt")
    assert claim(of, "run_1/src") == ["a.csv", "b.csv", "c.csv"]
    problem = of.look("run_2/src", NOW).problem
    assert problem is not None
    assert problem.code == "file_not_found"
    assert "What run_1 took is in 'in/.processing', for it and its retries." in str(problem)
    for mine_or_other in (
        of.look("run_1/src", NOW).problem,
        claims(root, pattern={"type": "glob", "value": "*.parquet"}).look("run_2/src", NOW).problem,
    ):
        assert mine_or_other is not None
        assert "took" not in str(mine_or_other)


def test_files_in_the_folders_and_temporary_names_are_no_input(root: Path) -> None:
    for folder in (".processing", ".failed", ".archive"):
        (root / "in" / folder).mkdir()
        put(root / "in" / folder / "x.csv")
    names = (
        ".hidden.csv",
        "~$a.csv",
        "a.csv.part",
        "a.csv.tmp",
        ".~lock.a.csv#",
        "A.CSV.PART",
        "a.csv~",
        "a.crdownload",
    )
    for name in names:
        put(root / "in" / name)
    every = {"type": "regex", "value": ".*"}
    assert claim(claims(root, ordering="process_all", pattern=every)) == ["a.csv", "b.csv", "c.csv"]
    look = claims(root, pattern={"type": "glob", "value": "*.part"}).look("run_2/src", NOW)
    assert "temporary names such as x.tmp and x.part are passed over" in str(look.problem)


def test_a_young_file_is_taken_once_it_has_been_quiet(root: Path) -> None:
    put(root / "in" / "b.csv", age=0.5)
    put(root / "in" / "a.csv", age=-3600)  # by the clock of another machine
    of = claims(root, ordering="process_all")
    first = of.look("run_1/src", NOW)
    assert [file.name for file in first.ready] == ["in/c.csv"]
    assert sorted(file.name for file in first.unsettled) == ["in/a.csv", "in/b.csv"]
    assert 1 < first.settles_in <= 2
    with (root / "in" / "b.csv").open("a") as file:
        file.write("2\n")
    second = of.look("run_1/src", NOW, first)
    assert [file.name for file in second.ready] == ["in/a.csv", "in/c.csv"]
    alone = claims(root, pattern={"type": "glob", "value": "b.csv"}).look("run_1/src", NOW)
    assert not alone.found
    assert "'in/b.csv' is still being written" in str(alone.problem)
    assert claims(root, settleSeconds=0, pattern={"type": "glob", "value": "b.csv"}).look("run_1/src", NOW).ready


def test_a_file_that_grew_after_it_was_looked_at_is_not_taken(root: Path) -> None:
    of = claims(root)
    look = of.look("run_1/src", NOW)
    with (root / "in" / "c.csv").open("a") as file:
        file.write("2\n")
    assert list(of.claim("run_1/src", look).places) == ["in/b.csv"]
    assert (root / "in" / "c.csv").exists()


def test_a_link_out_of_the_files_folder_is_refused_before_anything_moves(root: Path) -> None:
    (root.parent / "elsewhere").mkdir()
    (root / "in" / ".failed").symlink_to(root.parent / "elsewhere")
    of = claims(root)
    with pytest.raises(SourceError) as caught:
        of.claim("run_1/src", of.look("run_1/src", NOW))
    assert caught.value.code == "path_outside_root"
    assert tree(root) == ["a.csv", "b.csv", "c.csv"]


def test_a_link_is_not_moved(root: Path) -> None:
    (root / "in" / "0.csv").symlink_to(root / "in" / "a.csv")
    of = claims(root, ordering="lexicographic")
    with pytest.raises(SourceError, match=r"'in/0.csv' is a link, not a file"):
        of.claim("run_1/src", of.look("run_1/src", NOW))


@pytest.mark.parametrize(
    ("code", "says"), [(errno.EXDEV, "on the file system of"), (errno.EACCES, "needs to write in")]
)
def test_a_move_the_system_refuses_says_why(root: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(SourceError, match=says):
        claim(claims(root))


def test_a_file_where_a_folder_should_be_is_reported(root: Path) -> None:
    (root / "in" / ".archive").write_text("")
    of = claims(root)
    claim(of)
    with pytest.raises(SourceError, match="cannot be made"):
        of.loaded("run_1/src")


def test_without_hard_links_nothing_is_overwritten_either(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    of = claims(root)
    for number in range(2):
        put(root / "in" / "c.csv", f"{number}")
        claim(of, f"run_{number}/src")
        of.loaded(f"run_{number}/src")
    archived = {path.name: path.read_text() for path in (root / "in" / ".archive").rglob("*.csv")}
    assert archived == {"c.csv": "0", "c-2.csv": "1"}


def test_two_sources_of_a_run_do_not_mix_their_files(root: Path) -> None:
    left, right = claims(root), claims(root)
    assert claim(left, "run_1/left") == ["c.csv"]
    put(root / "in" / "c.csv", "another", age=1000)
    assert claim(right, "run_1/right") == ["c.csv"]
    left.loaded("run_1/left")
    right.loaded("run_1/right")
    assert [path for path in tree(root) if "archive" in path] == [".archive/TODAY/c-2.csv", ".archive/TODAY/c.csv"]


class Crowded(LocalStore):
    """A store in which somebody else takes every new name just before it is used, twice."""

    crowd = 2

    def put(self, name: str, to: str) -> None:
        if self.crowd:
            self.crowd -= 1
            path = self._beneath.root / to
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("somebody's")
        super().put(name, to)


def test_a_name_that_is_taken_at_the_last_moment_is_left_to_its_owner(root: Path) -> None:
    of = claims(root, Crowded(root))
    claim(of)
    of.loaded("run_1/src")
    archived = {path.name: path.read_text() for path in (root / "in" / ".archive").rglob("*.csv")}
    assert archived == {"c.csv": "somebody's", "c-2.csv": "somebody's", "c-3.csv": "id\n0\n"}


class Died(BaseException):
    """The process ended here."""


class Mortal(LocalStore):
    """A store whose process dies at the n-th step that changes something: before it, or halfway through a `put`."""

    def __init__(self, root: Path, steps: int) -> None:
        super().__init__(root)
        self.left = steps

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Died

    def take(self, name: str, to: str) -> bool:
        self._step()
        return super().take(name, to)

    def put(self, name: str, to: str) -> None:
        self._step()
        self.left -= 1
        if self.left == 0:
            (self._beneath.root / to).parent.mkdir(parents=True, exist_ok=True)
            os.link(self._beneath.root / name, self._beneath.root / to)
            raise Died
        super().put(name, to)

    def write(self, name: str, text: str) -> None:
        self._step()
        super().write(name, text)

    def remove(self, name: str) -> None:
        self._step()
        super().remove(name)

    def remove_folder(self, name: str) -> None:
        self._step()
        super().remove_folder(name)


def dying(root: Path, act: Callable[[FileClaims], object], **config: Any) -> int:
    """Does it with a store that dies at its first step, then one that lives for two, and so on; how many died."""
    for deaths in range(1, 100):
        with suppress(Died):
            act(claims(root, Mortal(root, deaths), **config))
            return deaths - 1
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("ordering", ["fifo", "process_all"])
def test_a_claim_that_died_at_any_step_is_continued(root: Path, ordering: str) -> None:
    assert dying(root, claim, ordering=ordering) >= 2
    held = claims(root, ordering=ordering).located("run_1/src", whole=True)
    assert held is not None
    taken = ["in/c.csv"] if ordering == "fifo" else ["in/a.csv", "in/b.csv", "in/c.csv"]
    assert list(held.places) == taken
    assert len(tree(root)) == 3


@pytest.mark.parametrize("taken", [["in/c.csv"], ["in/a.csv", "in/b.csv", "in/c.csv"]], ids=["one", "several"])
def test_putting_away_that_died_at_any_step_is_continued(root: Path, taken: list[str]) -> None:
    config = {"ordering": "process_all" if len(taken) > 1 else "fifo"}
    (root / "in" / f".archive/{datetime.now(UTC):%Y/%m/%d}").mkdir(parents=True)
    put(root / "in" / f".archive/{datetime.now(UTC):%Y/%m/%d}" / "c.csv", "older")
    before = {path.read_text() for path in (root / "in").rglob("*.csv")}
    claim(claims(root, **config))
    places: list[ClaimedFiles | None] = []

    def put_away(of: FileClaims) -> None:
        places.append(of.located("run_1/src", whole=True))  # wherever they are, they are found
        of.loaded("run_1/src")

    assert dying(root, put_away, **config) >= 4
    assert all(held is not None and list(held.places) == taken for held in places)
    assert {path.read_text() for path in (root / "in").rglob("*.csv")} == before
    assert len(tree(root)) == 4
    assert ".archive/TODAY/c-2.csv" in tree(root)
    assert not [path for path in tree(root) if "processing" in path]


def test_putting_aside_and_releasing_that_died_are_continued(root: Path) -> None:
    claim(claims(root))
    assert dying(root, lambda of: of.unreadable("run_1/src", "in/c.csv")) >= 3
    assert tree(root) == [".failed/c.csv", "a.csv", "b.csv"]
    claim(claims(root, ordering="process_all"), "run_2/src")
    assert dying(root, lambda of: of.release("run_2/src"), ordering="process_all") >= 3
    assert tree(root) == [".failed/c.csv", "a.csv", "b.csv"]


class Turns:
    """Lets two claimers take their steps in a given order; when it is used up, or one has ended, as they come."""

    def __init__(self, order: list[int]) -> None:
        self._order = deque(order)
        self._ended: set[int] = set()
        self._changed = threading.Condition()

    def wait(self, who: int) -> None:
        with self._changed:
            while self._order and self._order[0] != who:
                if self._order[0] in self._ended:
                    self._order.popleft()
                else:
                    self._changed.wait()
            if self._order:
                self._order.popleft()
            self._changed.notify_all()

    def end(self, who: int) -> None:
        with self._changed:
            self._ended.add(who)
            self._changed.notify_all()


class InTurn(LocalStore):
    """A store each of whose steps waits for its turn."""

    def __init__(self, root: Path, turns: Turns, who: int) -> None:
        super().__init__(root)
        self._turns, self._who = turns, who

    def stat(self, name: str) -> Any:
        self._turns.wait(self._who)
        return super().stat(name)

    def listing(self, folder: str) -> Any:
        self._turns.wait(self._who)
        return super().listing(folder)

    def take(self, name: str, to: str) -> bool:
        self._turns.wait(self._who)
        return super().take(name, to)

    def put(self, name: str, to: str) -> None:
        self._turns.wait(self._who)
        super().put(name, to)


@given(
    files=st.integers(0, 5),
    ordering=st.sampled_from(["fifo", "latest_by_mtime", "process_all"]),
    order=st.lists(st.sampled_from([0, 1]), max_size=60),
)
@settings(max_examples=examples(60))
def test_whatever_the_interleaving_every_file_is_claimed_exactly_once(
    files: int, ordering: str, order: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in").mkdir()
        for number in range(files):
            put(root / "in" / f"{number}.csv", f"{number}", age=100 + number)
        turns, taken = Turns(order), [list[str](), list[str]()]

        def work(who: int) -> None:
            try:
                for run in range(files + 2):
                    owner = f"run_{who}{run}/src"
                    of = claims(root, InTurn(root, turns, who), ordering=ordering)
                    taken[who] += claim(of, owner)
                    of.loaded(owner)
            finally:
                turns.end(who)

        threads = [threading.Thread(target=work, args=(who,)) for who in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken[0] + taken[1]) == [f"{number}.csv" for number in range(files)]
        assert sorted(path.read_text() for path in (root / "in" / ".archive").rglob("*.csv")) == [
            f"{number}" for number in range(files)
        ]


RACER = """
import sys
from pathlib import Path
from tests.connectors.files.arrival.test_file_claims import claim, claims
root, who = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
number = 0
while taken := claim(claims(root), f"run_{who}{number}/src"):
    print(*taken)
    number += 1
"""


@pytest.mark.slow
def test_processes_that_race_share_the_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(60):
        put(tmp_path / "in" / f"{number:02}.csv", age=100 - number)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), str(who)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])},
        )
        for who in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    # A racer that loses every match it saw ends early; what is left then is for the next run.
    taken = [line for racer in racers for line in racer.communicate()[0].split()]
    last = claims(tmp_path, ordering="process_all")
    assert sorted(taken + claim(last, "run_last/src")) == [f"{number:02}.csv" for number in range(60)]
    assert len(taken) == len(set(taken)) > 30
