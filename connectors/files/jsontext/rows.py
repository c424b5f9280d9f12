"""Records of JSON text as objects whose values are the bytes of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from types import GenericAlias
from typing import Any, Generic, TypeVar

import msgspec

from headrace.connectors.files.delimited.encoding import invalid_offsets
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.jsontext.cells import SEPARATOR

NULL = msgspec.Raw(b"null")
_UNNAMEABLE = frozenset('"\\').union(map(chr, range(32)))
"""Characters that a field name of a msgspec struct cannot have; keys with them are looked up individually."""

_PART_BYTES, _PART_ROWS = 256 << 10, 600
"""What is decoded at a time: few bytes, but as many records as make the cost of a column small."""

FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Faulty:
    """A record that is not a JSON object; `index` is its position in the block."""

    index: int
    text: bytes
    error: str
    rule: str = "json"


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """The valid objects of a block, in order, and the faulty records."""

    sound: Sequence[T]
    faulty: tuple[Faulty, ...]

    @property
    def count(self) -> int:
        """The number of all records."""
        return len(self.sound) + len(self.faulty)


@dataclass(frozen=True, slots=True)
class Texts:
    """Of some records: how many are valid objects, their values for each column with SEPARATOR between them, and the
    faulty records."""

    sound: int
    columns: Sequence[bytes]
    faulty: Sequence[Faulty]

    @property
    def count(self) -> int:
        """The number of all records."""
        return self.sound + len(self.faulty)


class Objects:
    """Decodes records into dicts of keys and raw values."""

    def __init__(self) -> None:
        self._decode = Decode[dict[str, msgspec.Raw]](dict[str, msgspec.Raw])

    def rows(self, block: Block) -> Rows[dict[str, msgspec.Raw]]:
        """The objects of a block."""
        return self._decode.rows(block)


def nameable(keys: Sequence[str]) -> bool:
    """Whether a struct can have these keys."""
    return all(_UNNAMEABLE.isdisjoint(key) for key in keys)


def struct(keys: Sequence[str], kinds: Sequence[Any], *, closed: bool = False) -> Any:
    """The type of records with these keys, whose fields are f0, f1, ...; with values as written where a kind is None,
    else of that kind or None."""
    names = {f"f{place}": key for place, key in enumerate(keys)}
    fields: list[tuple[str, Any, Any]] = [
        (name, msgspec.Raw, NULL) if kind is None else (name, kind | None, None)
        for name, kind in zip(names, kinds, strict=True)
    ]
    return msgspec.defstruct("Row", fields, rename=names, gc=False, forbid_unknown_fields=closed)


class Columns:
    """Decodes only some keys; a missing key is null, a repeated key has its last value, as in JavaScript. With `closed`
    an object that has any other key is faulty (rule `unknown_key`)."""

    def __init__(self, keys: Sequence[str], *, closed: bool = False) -> None:
        if nameable(keys):
            kind: Any = struct(keys, [None] * len(keys), closed=closed)
            self._getters: list[Callable[[Any], msgspec.Raw]] = list(map(attrgetter, kind.__struct_fields__))
        else:
            kind = dict[str, msgspec.Raw]
            self._getters = [partial(_value, key) for key in keys]
        # Keys that no struct can have are handled one object at a time: rare, and always correct.
        self._decode = Decode[Any](kind, frozenset(keys) if closed else None, each=closed and not nameable(keys))

    def rows(self, block: Block) -> Rows[Any]:
        """The objects of a block."""
        return self._decode.rows(block)

    def texts(self, block: Block, skip: int = 0) -> Texts:
        """The values of each key in the records of a block after the first `skip`. Few records are decoded at a time:
        their objects are used and gone while they are in the processor's cache."""
        columns: list[list[bytes]] = [[] for _ in self._getters]
        faulty: list[Faulty] = []
        done = sound = 0
        for rows in self._decode.parts(block):
            bad = [replace(each, index=done + each.index) for each in rows.faulty]
            first = max(0, min(skip - done, rows.count)) - sum(each.index < skip for each in bad)
            found = rows.sound[first:] if first else rows.sound
            done += rows.count
            faulty += [each for each in bad if each.index >= skip]
            if found:
                sound += len(found)
                for getter, values in zip(self._getters, columns, strict=True):
                    values.append(SEPARATOR.join(map(getter, found)))
        return Texts(sound, [SEPARATOR.join(values) for values in columns], faulty)

    def values(self, rows: Sequence[Any], place: int) -> list[msgspec.Raw]:
        """The values of the key at that index."""
        return list(map(self._getters[place], rows))


def _value(key: str, row: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
    return row.get(key, NULL)


class Decode(Generic[T]):
    """Decodes records to a type; `known` are the keys that they may have, looked at in each record if `each`."""

    def __init__(self, kind: Any, known: frozenset[str] | None = None, *, each: bool = False) -> None:
        self._known, self._each = known, each
        self._one = msgspec.json.Decoder(kind)
        self._many = msgspec.json.Decoder(GenericAlias(list, (kind,)))

    def rows(self, block: Block) -> Rows[T]:
        """All records at once; if that fails, halves are tried until the faulty ones are isolated."""
        if not self._each and block.plain and _is_text(block.text):
            found = self._complete(block, block.rows)
            if found is not None:
                return Rows(found, ())
        return self._careful(block.records())

    def parts(self, block: Block) -> Iterator[Rows[T]]:
        """The records of the block, some at a time."""
        for part, found in self.attempts(block):
            yield self.rows(part) if found is None else Rows(found, ())

    def attempts(self, block: Block) -> Iterator[tuple[Block, list[T] | None]]:
        """Parts of the block with all their records; None for a part in which one may be invalid. What holds for the
        whole block is not looked at again in its parts."""
        sound = not self._each and block.plain and _is_text(block.text)
        dense = block.rows == len(block.marks)
        size = max(_PART_BYTES, _PART_ROWS * len(block.text) // max(1, len(block.marks)))
        for part in block.parts(size):
            yield part, self._complete(part, len(part.marks) if dense else part.rows) if sound else None

    def _complete(self, block: Block, expected: int) -> list[T] | None:
        """All records at once; None if one of them is invalid."""
        try:
            found = self._all(block.text, lines=block.lines)
        except FAULTS:
            return None
        return found if len(found) == expected else None

    def _all(self, text: bytes, *, lines: bool) -> list[T]:
        found: list[T] = self._one.decode_lines(text) if lines else self._many.decode(b"[" + text + b"]")
        return found

    def _careful(self, records: list[bytes]) -> Rows[T]:
        sound: list[T] = []
        faulty: list[Faulty] = []
        open_parts = [(0, len(records))]
        while open_parts:
            begin, end = open_parts.pop()
            if (found := self._some(records[begin:end])) is not None:
                sound += found
            elif end - begin == 1:
                faulty.append(_fault(begin, records[begin], self._known))
            else:
                middle = (begin + end) // 2
                open_parts += [(middle, end), (begin, middle)]  # the first half is tried first
        return Rows(sound, tuple(faulty))

    def _some(self, records: list[bytes]) -> list[T] | None:
        """The decoded records, or None if one of them is invalid. Each must be an object by itself: a surplus comma or
        bracket in one must not be offset by another."""
        if not all(each.startswith(b"{") and each.endswith(b"}") for each in records):
            return None
        text = b"\n".join(records)
        if not _is_text(text):
            return None
        try:
            found: list[T] = self._one.decode_lines(text)
        except FAULTS:
            return None
        # A record may contain line ends; between two records there is exactly one and nothing else.
        if len(found) != len(records) or (self._each and any(not self._knows(each) for each in found)):
            return None
        return found

    def _knows(self, found: Any) -> bool:
        return self._known is None or found.keys() <= self._known


def _is_text(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fault(index: int, record: bytes, known: frozenset[str] | None) -> Faulty:
    if bad := invalid_offsets(record):
        character = len(record[: bad[0]].decode("utf-8", "replace")) + 1
        reason = f"Not valid UTF-8: byte 0x{record[bad[0]]:02X} at character {character}; set options.encoding"
        return Faulty(index, record, reason, "encoding")
    if known is not None and (other := _other_keys(record, known)):
        reason = f"The key '{other[0][:200]}' is not one of the found columns; declare `fields`"
        return Faulty(index, record, reason, "unknown_key")
    return Faulty(index, record, _why(record))


def _other_keys(record: bytes, known: frozenset[str]) -> list[str]:
    try:
        found = _OBJECT.decode(record)
    except FAULTS:
        return []
    return [key for key in found if key not in known]


def _why(record: bytes) -> str:
    if not record:
        return "Nothing where an object should be"
    try:
        found = json.loads(record, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        return f"Not JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        return "Not readable: nested too deeply"
    except ValueError as error:
        return f"Not JSON: {error}"
    if not isinstance(found, dict):
        what = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}.get(type(found), "a number")
        return f"Expected an object, found {what}"
    return "Not JSON: half of a pair of \\u escapes"


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON; write null, or a text")
