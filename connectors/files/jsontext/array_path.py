"""Finds the array in a JSON document whose elements are the rows."""

from __future__ import annotations

import json
from collections.abc import Sequence

from headrace.connectors.column_names import nearest_name
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import BOM
from headrace.connectors.files.delimited.records import RECORD_LIMIT
from headrace.connectors.files.jsontext.elements import nesting
from headrace.connectors.files.streams import ByteStream

_STEP = 1 << 16
_KEY_LIMIT = 1 << 20
_SHOWN = 20
_MOST_KEYS = 100_000
_SPACE = b" \t\r\n"
_WHAT = {b"{": "an object", b"[": "an array", b'"': "a text", b"t": "true", b"f": "false", b"n": "null"}


def path_keys(path: str) -> tuple[str, ...]:
    """The keys of a path: `data.items`, `$.data.items[*]`, or a JSON pointer `/data/items`."""
    if path.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
    path = path.removeprefix("$").removeprefix(".").removesuffix("[*]").removesuffix("[]")
    return tuple(path.split(".")) if path else ()


def find_array(stream: ByteStream, path: Sequence[str]) -> int:
    """The offset after the `[` of the array. Raises SourceError: `no_array`, `not_json`, `empty_file`."""
    walk = _Cursor(stream)
    if stream.read_at(0, len(BOM)) == BOM:
        walk.position = len(BOM)
    if not walk.next():
        raise SourceError("empty_file", "It is empty.", "A JSON file holds at least [].")
    for depth, key in enumerate(path):
        walk.enter(key, "the document" if not depth else f"'{'.'.join(path[:depth])}'")
    found = walk.next()
    if found == b"[":
        return walk.position + 1
    where = f"At '{'.'.join(path)}' it" if path else "It"
    hint = "Set options.path to the array whose elements are the rows."
    if found == b"{" and not path:
        keys = walk.keys()
        arrays = [key for key, mark in keys if mark == b"["]
        if arrays:
            hint = f"Set options.path to the array whose elements are the rows: {' or '.join(arrays[:3])}."
        elif walk.next() == b"{":
            hint = "Another object follows it: for an object on each line, set format to jsonl."
        else:
            hint = "For an object on each line, set format to jsonl."
    raise SourceError("no_array", f"{where} is {_WHAT.get(found, 'a number')}, not an array.", hint)


class _Cursor:
    """A position in the text that only moves forward."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.position = 0

    def next(self) -> bytes:
        """Skips blanks; the next byte, empty at the end."""
        while block := self._stream.read_at(self.position, _STEP):
            rest = block.lstrip(_SPACE)
            self.position += len(block) - len(rest)
            if rest:
                return rest[:1]
            self._stream.release(self.position)
        return b""

    def enter(self, key: str, where: str) -> None:
        """Moves to the value of a key of the object here. Raises SourceError."""
        found = self.next()
        if found != b"{":
            what = _WHAT.get(found, "a number")
            raise SourceError("no_array", f"There is no '{key}' in {where}, which is {what}.", "Correct options.path.")
        self.position += 1
        seen: list[str] = []
        while (name := self._key()) is not None:
            if name == key:
                return
            seen.append(name)
            self._skip()
        known = f"Its keys are: {', '.join(seen[:_SHOWN])}." if seen else "It is empty."
        hint = nearest_name(key, seen) or "Correct options.path."
        raise SourceError("no_array", f"There is no '{key}' in {where}. {known}", hint)

    def keys(self) -> list[tuple[str, bytes]]:
        """The keys of the object here and the first byte of each value; moves after the object."""
        self.position += 1
        found = []
        while (name := self._key()) is not None:
            found.append((name, self.next()))
            self._skip()
            if len(found) > _MOST_KEYS:
                raise self._wrong()
        return found

    def _key(self) -> str | None:
        """The next key; moves to its value. None if there is none; then moves after the object."""
        mark = self.next()
        if mark == b",":
            self.position += 1
            mark = self.next()
        if mark == b"}":
            self.position += 1
            return None
        if mark != b'"':
            raise self._wrong()
        name = self._text()
        if self.next() != b":":
            raise self._wrong()
        self.position += 1
        self.next()
        return name

    def _text(self) -> str:
        size = _STEP
        while True:
            block = self._stream.read_at(self.position, size)
            end = block.find(b'"', 1)
            while end > 0 and (len(block[:end]) - len(block[:end].rstrip(b"\\"))) % 2:
                end = block.find(b'"', end + 1)
            if end > 0:
                try:
                    text = json.loads(block[: end + 1])
                except ValueError:
                    raise self._wrong() from None
                self.position += end + 1
                return str(text)
            if len(block) < size or size >= _KEY_LIMIT:
                raise self._wrong()
            size = min(size * 4, _KEY_LIMIT)

    def _skip(self) -> None:
        """Moves to the byte after the value."""
        mark = self.next()
        if mark == b'"':
            self._skip_text()
        elif mark in (b"{", b"["):
            self._skip_nested()
        else:
            while block := self._stream.read_at(self.position, _STEP):
                ends = [at for at in map(block.find, (b",", b"}", b"]")) if at >= 0]
                self.position += min(ends, default=len(block))
                if ends:
                    return
            raise self._cut_off()

    def _skip_text(self) -> None:
        self.position += 1
        while block := self._stream.read_at(self.position, _STEP):
            end = block.find(b'"')
            if end < 0:
                cut = block.rstrip(b"\\")
                whole = len(cut) + (len(block) - len(cut)) // 2 * 2
                if not whole:
                    break
                self.position += whole
                self._stream.release(self.position)
                continue
            escapes = len(block[:end]) - len(block[:end].rstrip(b"\\"))
            self.position += end + 1
            if not escapes % 2:
                return
        raise self._cut_off()

    def _skip_nested(self) -> None:
        depth, size = 0, _STEP
        while True:
            block = self._stream.read_at(self.position, size)
            found = nesting(block)
            if len(found.at):
                levels = found.depth + depth
                ends = (levels == 0) & (found.comma == 0)
                if ends.any():
                    self.position += int(found.at[ends.argmax()]) + 1
                    return
                # Continue after the last mark that is certainly outside of a string.
                self.position += int(found.at[-1]) + 1
                depth, size = int(levels[-1]), _STEP * 16
                self._stream.release(self.position)
            elif len(block) < size:
                raise self._cut_off()
            elif size >= RECORD_LIMIT:
                message = f"The value at byte {self.position} is longer than {RECORD_LIMIT >> 20} MB."
                raise SourceError("record_too_large", message)
            else:
                size = min(size * 4, RECORD_LIMIT)
            if not block:
                raise self._cut_off()

    def _wrong(self) -> SourceError:
        if not self._stream.read_at(self.position, 1):
            return self._cut_off()
        return SourceError("not_json", f"It is not JSON: unexpected byte at offset {self.position}.")

    def _cut_off(self) -> SourceError:
        return SourceError("cut_off", "It is cut off: it ends before the array begins.", "Send it again.")
