"""Moves objects by copy and delete, so that no other run sees a half-finished move."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath

from headrace.connectors.errors import SourceError
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.stores.downloads import RANGE_BYTES, ConnectionCut
from headrace.connectors.stores.object_store.bucket import AlreadyExists, Bucket, ObjectChanged, ObjectInfo

NOTES_FOLDER = ".headrace"
"""The folder of these notes; files in it are never data."""

_PAUSES_S = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0, 20.0)
HELPED_AFTER_S = 60.0
"""Seconds after which an unfinished move is finished by another caller, because its owner is probably dead."""


@dataclass(frozen=True, slots=True)
class _Move:
    """A move of one version of the object `name` to `to`. `version` and `known_mtime` are those it had when it arrived;
    `copied` is the tag of the complete copy."""

    name: str
    to: str
    size: int
    tag: str
    mtime: float
    version: str
    known_mtime: float
    takes: bool
    written: float
    copied: str | None = None

    @property
    def note(self) -> str:
        return _note(self.to, "moving", f"{self.name}\n{self.tag}\n{self.mtime}")

    @property
    def mark(self) -> str:
        return _note(self.name, "taken", f"{self.tag}\n{self.mtime}")

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))


class Moves:
    """The files of a bucket, with moves taken into account. All methods raise SourceError."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._exclusive = False

    def known(self, found: ObjectInfo) -> StoredFile:
        """An object as a file; a copy has version and time of its original."""
        text = self._bucket.text(_version_note(found.path, found.tag))
        if text is None:
            return _as_it_is(found)
        noted = json.loads(text)
        return StoredFile(found.path, found.size, noted["mtime"], noted["version"])

    def files(self, folder: str) -> tuple[list[StoredFile], list[str]]:
        """The files directly in a folder, and its subfolders. Finishes claims that dead runs began; leaves out files
        that are still being moved."""
        objects, folders = self._bucket.listing(folder)
        noted: set[str] = set()
        if NOTES_FOLDER in folders:
            noted = {each.path for each in self._bucket.under(_in(folder, NOTES_FOLDER))}
            moving = [move for path in noted if "moving" in path.split("/") and (move := self._read(path)) is not None]
            if moving:
                for move in moving:
                    if self._is_taken(move):
                        self._finished(move)
                objects, _ = self._bucket.listing(folder)
                hidden = {move.to for move in moving if self._bucket.head(move.note) is not None}
                objects = [each for each in objects if each.path not in hidden]
        files = [
            self.known(each) if _version_note(each.path, each.tag) in noted else _as_it_is(each) for each in objects
        ]
        return files, [each for each in folders if each != NOTES_FOLDER]

    def take(self, name: str, to: str) -> bool:
        found = self._bucket.head(name)
        if found is None or self._coming(name):
            return False
        move = self._move(found, to, takes=True)
        self._bucket.put(move.note, move.text)
        try:
            self._bucket.put_new(move.mark, move.text)
        except AlreadyExists:
            other = self._read(move.mark)
            if other is not None and other.to == to:  # claimed by an earlier attempt of this owner that died
                return self._finished(move)
            self._bucket.delete(move.note)
            if other is not None and time.time() - other.written > HELPED_AFTER_S:
                self._finished(other)
            return False
        self._check_exclusive(move)
        return self._finished(move)

    def put(self, name: str, to: str) -> None:
        found = self._bucket.head(name)
        if found is None:
            begun = next((move for move in self._coming(to) if move.name == name and move.copied is not None), None)
            if begun is None:
                raise FileNotFoundError(name)
            self._finished(begun)
            return
        move = self._move(found, to, takes=False)
        begun = self._read(move.note)
        if begun is None:
            if self._bucket.head(to) is not None:
                raise FileExistsError(to)
            self._bucket.put(move.note, move.text)
        if not self._finished(begun or move, again=begun is not None):
            raise FileNotFoundError(name)

    def forget(self, folder: str) -> None:
        """Deletes the notes in a folder that holds no more files."""
        left = self._bucket.under(folder)
        moving = [each.path for each in left if each.path.startswith(_in(folder, f"{NOTES_FOLDER}/moving/"))]
        hidden = {move.to for path in moving if (move := self._read(path)) is not None}
        if all(each.path.startswith(_in(folder, f"{NOTES_FOLDER}/")) or each.path in hidden for each in left):
            for each in left:
                self._bucket.delete(each.path)

    def _move(self, found: ObjectInfo, to: str, *, takes: bool) -> _Move:
        known = self.known(found)
        return _Move(
            *(found.path, to, found.size, found.tag, found.mtime, known.version, known.mtime, takes), time.time()
        )

    def _finished(self, move: _Move, *, again: bool = False) -> bool:
        """Finishes a move from any state; `again`: an earlier attempt may have copied. Returns False if the version to
        be moved does not exist any more. Raises FileExistsError."""
        bucket = self._bucket
        noted = self._read(move.note)
        if noted is None:
            if not self._is_there(move):
                bucket.delete(move.mark)
                return bucket.head(move.to) is not None  # finished by another caller for this owner
            bucket.put(move.note, move.text)
        elif noted.copied is not None:
            move = noted
        if move.copied is None:
            copied = self._copied(move, again=again)
            if copied is None:
                return False
            move = copied
        if self._is_there(move):  # a newer object under that name must not be deleted
            bucket.delete(move.name)
        bucket.delete(move.mark)
        bucket.delete(move.note)
        return True

    def _copied(self, move: _Move, *, again: bool) -> _Move | None:
        """The move with a complete copy and its notes. None if the original was missing or has changed."""
        bucket = self._bucket
        try:
            if not self._is_there(move):
                raise FileNotFoundError(move.name)
            bucket.copy(move.name, move.to, size=move.size, over=move.takes)
            if not self._is_there(move):
                raise FileNotFoundError(move.name)
        except AlreadyExists:
            if not (again and self._same(move)):
                bucket.delete(move.note)
                raise FileExistsError(move.to) from None
        except FileNotFoundError:
            noted = self._read(move.note)
            if noted is None or noted.copied is not None:
                return noted or replace(move, copied=move.tag)  # finished by another caller for this owner
            for path in (move.to, move.mark, move.note):
                bucket.delete(path)
            return None
        copy = self._complete(move)
        if copy.tag != move.version:
            kept = {"version": move.version, "mtime": move.known_mtime}
            bucket.put(_version_note(copy.path, copy.tag), json.dumps(kept))
        move = replace(move, copied=copy.tag)
        bucket.put(move.note, move.text)
        return move

    def _complete(self, move: _Move) -> ObjectInfo:
        """The copy, once it is complete: some stores report a copy before it is. Raises SourceError if it does not
        become complete; the original still exists."""
        for pause in (*_PAUSES_S, 0.0):
            copy = self._bucket.head(move.to)
            if copy is not None and copy.size == move.size:
                try:
                    if not move.size or len(self._bucket.range(copy.path, move.size - 1, move.size, copy.tag)) == 1:
                        return copy
                except (ObjectChanged, ConnectionCut):
                    pass
            time.sleep(pause)
        hint = "The original is still there. Retry the run later."
        raise SourceError("not_movable", f"The copy of '{move.name}' does not become complete.", hint)

    def _is_taken(self, move: _Move) -> bool:
        """Whether this move has been claimed first."""
        owner = self._read(move.mark) if move.takes and move.copied is None else None
        return move.takes and (move.copied is not None or (owner is not None and owner.to == move.to))

    def _is_there(self, move: _Move) -> bool:
        found = self._bucket.head(move.name)
        return found is not None and (found.tag, found.size, found.mtime) == (move.tag, move.size, move.mtime)

    def _coming(self, name: str) -> list[_Move]:
        """Unfinished moves to that name."""
        notes = self._bucket.under(_in(PurePosixPath(name).parent.as_posix(), f"{NOTES_FOLDER}/moving"))
        return [move for each in notes if (move := self._read(each.path)) is not None and move.to == name]

    def _same(self, move: _Move) -> bool:
        """Whether the object at the destination is the same file, byte by byte."""
        bucket, there = self._bucket, self._bucket.head(move.to)
        if there is None or there.size != move.size:
            return False
        for start in range(0, move.size, RANGE_BYTES):
            end = min(move.size, start + RANGE_BYTES)
            try:
                if bucket.range(move.name, start, end, move.tag) != bucket.range(move.to, start, end, there.tag):
                    return False
            except (ObjectChanged, ConnectionCut):
                return False
        return True

    def _check_exclusive(self, move: _Move) -> None:
        """Checks once that the store supports conditional writes. Without them two runs could claim the same file."""
        if self._exclusive:
            return
        try:
            self._bucket.put_new(move.mark, move.text)
        except AlreadyExists:
            self._exclusive = True
            return
        for path in (move.note, move.mark):
            self._bucket.delete(path)
        raise SourceError(
            "not_movable",
            f"{self._bucket.place} knows no conditional writes, so that two runs could take one file.",
            "Read without config.atomicity, or let another server keep the files.",
        )

    def _read(self, path: str) -> _Move | None:
        text = self._bucket.text(path)
        try:
            return None if text is None else _Move(**json.loads(text))
        except (ValueError, TypeError):
            raise SourceError("bad_record", f"'{path}' is not a valid note of a move.", "Delete it.") from None


def _as_it_is(found: ObjectInfo) -> StoredFile:
    return StoredFile(found.path, found.size, found.mtime, found.tag)


def _in(folder: str, name: str) -> str:
    return name if folder in ("", ".") else f"{folder}/{name}"


def _note(name: str, kind: str, of: str) -> str:
    path = PurePosixPath(name)
    known = hashlib.sha256(of.encode()).hexdigest()[:16]
    return _in(path.parent.as_posix(), f"{NOTES_FOLDER}/{kind}/{path.name}~{known}.json")


def _version_note(path: str, tag: str) -> str:
    return _note(path, "versions", tag)
