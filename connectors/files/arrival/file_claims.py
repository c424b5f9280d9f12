"""Claims files for one run and archives them afterwards, so that no file is read by two runs or by none."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import PurePosixPath

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.claim_record import (
    ClaimedFile,
    ClaimRecord,
    Fate,
    delete_old_records,
    record_name,
)
from headrace.connectors.files.arrival.inbox import ClaimedFiles, InboxState, WaitPolicy
from headrace.connectors.files.arrival.settings import ArrivalRules, Atomicity
from headrace.connectors.files.selection import Selection, StoredFile, dated
from headrace.connectors.files.store import FileStore

COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".zip")
"""Suffixes of compressed files; the suffix before them determines the format."""

_NAMED = 3
"""At most this many runs are named in a message."""


class FileClaims:
    """The inbox of one source: the file at `path`, or the matching files in the folder there."""

    def __init__(
        self, store: FileStore, path: str, *, in_folder: bool, selection: Selection, rules: ArrivalRules
    ) -> None:
        """`in_folder`: the config has a pattern or a path that ends with `/`, so `path` cannot be a file."""
        self._store, self._path = store, PurePosixPath(path).as_posix()
        self._in_folder, self._selection, self._rules = in_folder, selection, rules

    @property
    def wanted(self) -> bool:
        return self._rules.any

    @property
    def wait(self) -> WaitPolicy | None:
        return self._rules.wait

    def describe(self, now: datetime) -> str:
        if self._single():
            return f"'{self._path}'"
        return f"a file that matches {self._selection.kind} '{self._selection.expanded(now)}' in '{self._folder()}'"

    def look(self, owner: str, now: datetime, before: InboxState | None = None) -> InboxState:
        begun = self._rules.atomicity is not None and bool(self._staged(owner))
        try:
            found = self._matches(now)
        except SourceError as missing:
            if missing.code != "file_not_found":
                raise
            hint = " ".join(filter(None, (missing.hint, self._with_others(owner, now))))
            return InboxState(begun=begun, problem=SourceError(missing.code, missing.message, hint))
        seen = {(file.name, file.size, file.version) for file in before.unsettled} if before is not None else set()
        settle, clock = self._rules.settle_seconds, time.time()
        ages = {file.name: clock - file.mtime for file in found}
        done = [f for f in found if settle == 0 or ages[f.name] >= settle or (f.name, f.size, f.version) in seen]
        settled = {file.name for file in done}
        unsettled = [file for file in found if file.name not in settled]
        # A future time comes from another machine's clock: such a file is watched for the whole period.
        left = max((settle - max(ages[file.name], 0.0) for file in unsettled), default=0.0)
        return InboxState(
            ready=tuple(self._selection.ordered(done)),
            unsettled=tuple(unsettled),
            settles_in=left,
            begun=begun,
            problem=None if done else _still_written(unsettled),
        )

    def claim(self, owner: str, look: InboxState) -> ClaimedFiles:
        if self._rules.atomicity is None:
            chosen = look.ready if self._selection.takes_all else look.ready[:1]
            return ClaimedFiles({file.name: file.name for file in chosen})
        self._check_folders(self._rules.atomicity)
        taken = {PurePosixPath(file.name).name for file in self._staged(owner)}
        for file in look.ready:
            if taken and not self._selection.takes_all:
                break
            name = PurePosixPath(file.name).name
            if name not in taken and self._take(file, f"{self._staging(owner)}/{name}"):
                taken.add(name)
        files = self._claimed(owner)
        if not files:
            raise look.problem or SourceError("file_not_found", "Another run has claimed the file.")
        record = ClaimRecord(record_name(self._staging_root(), owner), files)
        record.save(self._store)
        delete_old_records(self._store, record.name)
        count = f"{len(files)} files" if len(files) > 1 else f"'{files[0].name}'"
        return record.held(f"{count} taken into '{self._staging(owner)}'")

    def located(self, owner: str, *, record: str | None = None, whole: bool) -> ClaimedFiles | None:
        if record is None:
            if self._rules.atomicity is None:
                return None
            record = record_name(self._staging_root(), owner)
        found = ClaimRecord.load(self._store, record)
        if found is None:
            return None
        found.files = [file for file in found.files if file.fate != "given_up"]
        skipped = [file for file in found.files if file.fate == "skipped"]
        there = {file.name: place for file in found.files if (place := self._lies(file)) is not None}
        failed = [file for file in found.files if file.name in there and self._put_aside(file)]
        unread = {file.name for file in (*failed, *skipped)}
        if failed and (whole or there.keys() <= unread):
            raise _in_failure_folder(failed)
        for file in found.files:
            if whole and file.name not in there and file not in skipped:
                message = f"'{file.name}' should lie in '{file.going or file.place}' and no longer exists."
                hint = "Put it back there, or start a new run; rows that are in the table already stay there."
                raise SourceError("file_gone", message, hint)
            file.place = there.get(file.name, file.place if file in skipped else "")
        found.files = [file for file in found.files if file.place and file not in failed]
        left_out = [f"left out: {_in_failure_folder([file]).message}" for file in failed]
        return found.held(*left_out) if len(found.files) > len(skipped) else None

    def loaded(self, owner: str) -> tuple[str, ...]:
        return self._settle(owner, "loaded", None)

    def unreadable(self, owner: str, name: str) -> tuple[str, ...]:
        return self._settle(owner, "unreadable", name)

    def skipped(self, owner: str, name: str) -> tuple[str, ...]:
        return self._settle(owner, "skipped", name)

    def give_up_unreadable(self, owner: str) -> None:
        record = self._recorded(owner)
        failed = [file for file in record.files if self._put_aside(file)] if record is not None else []
        if record is not None and failed:
            for file in failed:
                file.fate, file.place, file.going = "given_up", file.going or file.place, None
            record.save(self._store)

    def release(self, owner: str) -> None:
        if self._rules.atomicity is not None:
            record = self._recorded(owner)
            for file in self._claimed(owner) if record is None else record.files:  # a claim may have broken off
                try:
                    self._store.put(file.place, file.name)
                except FileNotFoundError:  # already put back before a crash
                    continue
                except FileExistsError:
                    message = f"'{file.place}' cannot go back: there is another '{file.name}' now."
                    raise SourceError("not_movable", message, "A retry of the run reads it where it is.") from None
            if record is not None:
                self._store.remove(record.name)
            self._tidy(owner)

    def _settle(self, owner: str, fate: Fate, name: str | None) -> tuple[str, ...]:
        """Moves the owner's staged files (only `name` if given) to the folder for that fate."""
        rules = self._rules.atomicity
        record = self._recorded(owner)
        if rules is None or record is None:
            return ()
        for file in record.files:
            if file.fate != fate and file.going is not None and self._lies(file) == file.place:
                file.fate, file.going = "staged", None  # an earlier attempt planned another move and died before it
        moving = [file for file in record.files if file.fate in ("staged", fate) and name in (None, file.name)]
        moving = [file for file in moving if file.fate == "staged" or file.going is not None]
        template = rules.success_folder if fate == "loaded" else rules.failure_folder
        folder = _join(self._folder(), dated(template, timezone=self._selection.timezone))
        for file in moving:
            file.fate = fate
            if file.going is None:
                file.going = self._free(folder, file.name)
        if moving:
            record.save(self._store)
        texts = [self._put_away(record, file, folder) for file in moving]
        if moving:
            record.save(self._store)
        self._tidy(owner)
        return tuple(texts)

    def _put_away(self, record: ClaimRecord, file: ClaimedFile, folder: str) -> str:
        while file.going is not None:
            try:
                self._store.put(file.place, file.going)
            except FileExistsError:  # another run has just put one there
                file.going = self._free(folder, file.name)
                record.save(self._store)
            except FileNotFoundError:
                if self._lies(file) != file.going:
                    file.going = None
                    return f"'{file.place}' no longer exists: it was moved by someone"
                file.place, file.going = file.going, None  # already moved before a crash
            else:
                file.place, file.going = file.going, None
        return f"'{file.name}' moved to '{file.place}'"

    def _free(self, folder: str, name: str) -> str:
        """A free name in the folder: the file's own, or `orders-2.csv` and so on."""
        path = PurePosixPath(name)
        if self._store.stat(f"{folder}/{path.name}") is None:
            return f"{folder}/{path.name}"
        suffix = "".join(path.suffixes[-2:]) if path.suffix in COMPRESSED else path.suffix
        stem = path.name.removesuffix(suffix)

        def taken(number: int) -> bool:
            return self._store.stat(f"{folder}/{stem}-{number}{suffix}") is not None

        # Files may arrive with the same name every day: a binary search finds the next free number.
        below, free = 1, 2
        while taken(free):
            below, free = free, free * 2
        while free - below > 1:
            middle = (below + free) // 2
            below, free = (middle, free) if taken(middle) else (below, middle)
        return f"{folder}/{stem}-{free}{suffix}"

    def _take(self, file: StoredFile, to: str) -> bool:
        """Whether the file was claimed. If it differs from what was listed (it grew, or was replaced), it is put back,
        because it is still being written."""
        if not self._store.take(file.name, to):
            return False
        now = self._store.stat(to)
        if now is None or self._rules.settle_seconds == 0 or (now.size, now.version) == (file.size, file.version):
            return True
        try:
            self._store.put(to, file.name)
        except FileExistsError:  # its name has been taken in the meantime
            return True
        return False

    def _matches(self, now: datetime) -> list[StoredFile]:
        if self._single():
            file = self._store.stat(self._path)
            if file is None:
                raise self._store.missing(self._path)
            if self._in_folder and self._rules.atomicity is not None:
                raise SourceError(
                    "bad_option", f"'{self._path}' is a file, so config.pattern has no effect.", "Remove the pattern."
                )
            return [file]
        folder = self._folder()
        return self._selection.matching(self._store.listing(folder), folder=folder, now=now)

    def _single(self) -> bool:
        """Whether `path` is a single file, existing or expected."""
        if self._store.is_file(self._path):
            return True
        return not self._in_folder and not self._store.is_folder(self._path)

    def _folder(self) -> str:
        """The source's folder, which the other folders are relative to."""
        return PurePosixPath(self._path).parent.as_posix() if self._single() else self._path

    def _staging_root(self) -> str:
        assert self._rules.atomicity is not None
        return _join(self._folder(), self._rules.atomicity.staging_folder)

    def _staging(self, owner: str) -> str:
        return f"{self._staging_root()}/{owner}"

    def _staged(self, owner: str) -> list[StoredFile]:
        """The files in the owner's staging folder."""
        folder = self._staging(owner)
        return self._store.listing(folder) if self._store.is_folder(folder) else []

    def _claimed(self, owner: str) -> list[ClaimedFile]:
        """The same, in the order in which they are read, with the names under which they arrived."""
        folder = self._folder()
        staged = self._selection.ordered(self._staged(owner))
        return [ClaimedFile.staged(_join(folder, PurePosixPath(file.name).name), file) for file in staged]

    def _with_others(self, owner: str, now: datetime) -> str:
        """A hint which other runs have matching files in the staging folder, for users who see an empty folder."""
        if self._rules.atomicity is None:
            return ""
        root, own = self._staging_root(), owner.partition("/")[0]
        runs = [run for run in self._store.folders(root) if run != own and self._has_match(f"{root}/{run}", now)]
        if not runs:
            return ""
        named = ", ".join(runs[:_NAMED]) + (", …" if len(runs) > _NAMED else "")
        return f"What {named} took is in '{root}', for {'it and its' if len(runs) == 1 else 'them and their'} retries."

    def _has_match(self, staged: str, now: datetime) -> bool:
        for node in self._store.folders(staged):
            try:
                files = self._store.listing(f"{staged}/{node}")
                if self._single():
                    if any(PurePosixPath(file.name).name == PurePosixPath(self._path).name for file in files):
                        return True
                elif self._selection.matching(files, folder=staged, now=now):
                    return True
            except SourceError:  # no match, or removed in the meantime
                continue
        return False

    def _recorded(self, owner: str) -> ClaimRecord | None:
        if self._rules.atomicity is None:
            return None
        return ClaimRecord.load(self._store, record_name(self._staging_root(), owner))

    def _lies(self, file: ClaimedFile) -> str | None:
        """Where the file is: its last known place, or the place it was being moved to. None if it is at neither."""
        if self._store.stat(file.place) is not None:
            return file.place
        gone = self._store.stat(file.going) if file.going is not None else None
        return file.going if gone is not None and (gone.size, gone.version) == (file.size, file.version) else None

    def _put_aside(self, file: ClaimedFile) -> bool:
        """Whether the file is in the failure folder, or was to be moved there and is no longer in the staging
        folder."""
        return file.fate == "unreadable" and (file.going is None or self._lies(file) == file.going)

    def _check_folders(self, rules: Atomicity) -> None:
        """Checks before anything is read that no folder leads out of the files folder."""
        for folder in (rules.staging_folder, dated(rules.success_folder), rules.failure_folder):
            self._store.is_folder(_join(self._folder(), folder))

    def _tidy(self, owner: str) -> None:
        folder = PurePosixPath(self._staging(owner))
        self._store.remove_folder(folder.as_posix())
        self._store.remove_folder(folder.parent.as_posix())


def _join(folder: str, name: str) -> str:
    return (PurePosixPath(folder) / name).as_posix()


def _still_written(files: Iterable[StoredFile]) -> SourceError:
    names = ", ".join(sorted(f"'{file.name}'" for file in files))
    hint = "Run again when it is complete, or let the run wait: config.waitPolicy."
    return SourceError("still_written", f"{names} is still being written.", hint)


def _in_failure_folder(files: list[ClaimedFile]) -> SourceError:
    texts = ", ".join(f"'{file.name}' is in '{file.place}'" for file in files)
    return SourceError(
        "file_failed",
        f"{texts}, because it could not be read.",
        "Correct it, put it back where it arrived and start a new run.",
    )
