"""XML: each element of one name is a row, its attributes (`@id`) and children are the columns. One piece.

Nothing outside the file is read, and no entity is expanded: a document that declares entities is rejected.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from headrace.connectors.batch_size import BATCH_BYTES
from headrace.connectors.errors import SourceError
from headrace.connectors.files.compression import compression_of
from headrace.connectors.files.compression.reading import Content, open_compressed
from headrace.connectors.files.formats.json_rows import JsonRows
from headrace.connectors.files.jsontext.block import Block, block_of_lines
from headrace.connectors.files.optional_libraries import import_optional
from headrace.connectors.files.streams import ByteStream

BATCH_ROWS = 10_000
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_TEXT = "#text"
_MOST_NAMES = 10
_LOOKED_AT = 1000
_STEP = 1 << 20
_WITHOUT_ROW = 64 << 20


class Xml(JsonRows):
    """Options: row, nullValues."""

    form = "xml"
    own = ("row",)

    def __init__(self, options: Mapping[str, Any], *, batch_rows: int = BATCH_ROWS) -> None:
        super().__init__(options)
        self._row = [part for part in str(options.get("row") or "").split("/") if part]
        if not self._row:
            raise SourceError("bad_option", "options.row must name the element that is a row.", "For example order.")
        self._batch_rows = batch_rows

    def _stream(self, path: Path, name: str) -> ByteStream:
        packed = compression_of(self._options, name)
        if not path.stat().st_size:
            raise SourceError("empty_file", "It is empty.", "An XML file has at least one element.")
        return _Elements(path.open("rb") if packed is None else open_compressed(path, packed), self._row)

    def _start(self, stream: ByteStream) -> int:
        return 0

    def _blocks(self, stream: ByteStream, start: int, end: int | None) -> Iterator[Block]:
        assert isinstance(stream, _Elements)
        done = before = 0
        some: list[dict[str, Any]] = []
        for row in stream.rows():
            done += 1
            if done <= start:
                continue
            some.append(record(row))
            if len(some) >= self._batch_rows or stream.taken - before >= BATCH_BYTES or done == end:
                yield block_of_lines(some, done)
                some, before = [], stream.taken
            if done == end:
                return
        if some:
            yield block_of_lines(some, done)


def records_in(text: bytes, row: str) -> list[bytes]:
    """The rows of a document as JSON texts, those of a file of this format with `row` as its option. None where the
    element around them is there without rows. Raises SourceError(`bad_xml`, `no_rows`)."""
    path = [part for part in row.split("/") if part]
    try:
        found = [record(each) for each in _Elements(io.BytesIO(text), path).rows()]
    except SourceError as error:
        if error.code != "no_rows":
            raise
        if len(path) > 1:
            next(iter(_Elements(io.BytesIO(text), path[:-1]).rows()))  # raises no_rows
        return []
    return block_of_lines(found, 0).records()


class _Elements:
    """The rows of an open document, front to back; finished rows are freed."""

    size: int | None = None
    seekable = False
    transcoded = False

    def __init__(self, content: Content | Any, row: list[str]) -> None:
        self._content, self._row = content, row
        self.taken = 0
        """The bytes of the document that were read so far."""

    def rows(self) -> Iterator[Any]:
        """Each row element, complete. Raises SourceError(`bad_xml`, `no_rows`)."""
        etree = import_optional("lxml.etree", "xml")
        parser = etree.XMLPullParser(
            events=("end",),
            tag=f"{{*}}{self._row[-1]}",
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            recover=False,
        )
        try:
            yield from self._events(parser)
        except (etree.LxmlError, ValueError) as error:
            message = f"It is not XML that can be read: {error}."
            raise SourceError("bad_xml", message, "Send it again, or compare it with the original.") from None

    def _events(self, parser: Any) -> Iterator[Any]:
        since, checked = 0, False
        while True:
            block = self._content.read(_STEP)
            self.taken += len(block)
            root = None
            if block:
                parser.feed(block)
            else:
                root = parser.close()
            for _, element in parser.read_events():
                if not checked:
                    _refuse_entities(element)
                    checked = True
                if self._is_row(element):
                    since = 0
                    yield element
                    _forget(element)
            since += len(block)
            if since > _WITHOUT_ROW:  # elements that are not rows stay in memory
                raise self._without_rows(None)
            if root is not None:
                if not checked:
                    _refuse_entities(root)
                    raise self._without_rows(root)
                return

    def _is_row(self, element: Any) -> bool:
        """Whether the end of its path matches; a row element within another row is part of that row."""
        above = [_local(each.tag) for each in element.iterancestors()]
        path = [*above[::-1], self._row[-1]]
        size = len(self._row)
        return path[-size:] == self._row and not any(path[:end][-size:] == self._row for end in range(size, len(path)))

    def _without_rows(self, root: Any) -> SourceError:
        wanted = "/".join(self._row)
        if root is None:
            message = f"It has no element '{wanted}' within {_WITHOUT_ROW >> 20} MB."
        else:
            seen = dict.fromkeys(_local(each.tag) for each in islice(root.iter("*"), _LOOKED_AT))
            message = f"It has no element '{wanted}'. It has: {', '.join(list(seen)[:_MOST_NAMES])}."
        return SourceError("no_rows", message, "Set options.row to the element of a row.")

    def read_at(self, offset: int, length: int) -> bytes:
        """Raises NotImplementedError: it is read by elements."""
        raise NotImplementedError

    def release(self, offset: int) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Closes the file."""
        self._content.close()


def _refuse_entities(element: Any) -> None:
    declared = element.getroottree().docinfo.internalDTD
    if declared is not None and next(iter(declared.iterentities()), None) is not None:
        raise SourceError(
            "bad_xml", "It declares entities, which are not replaced.", "Write the texts themselves, without a DOCTYPE."
        )


def _forget(element: Any) -> None:
    """Frees the element's content and all preceding content of the document."""
    element.clear(keep_tail=True)
    while element is not None:
        parent = element.getparent()
        if parent is not None:
            while element.getprevious() is not None:
                del parent[0]
        element = parent


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def record(element: Any) -> dict[str, Any]:
    """The columns of a row."""
    found: dict[str, Any] = {f"@{_local(name)}": value for name, value in element.items()}
    for child in element.iterchildren("*"):
        name = _local(child.tag)
        value = (child.text or "") if not len(child) and not child.keys() else _nested(child)
        if name not in found:
            found[name] = value
        elif isinstance(before := found[name], _Several):
            before.append(value)
        else:
            found[name] = _Several((before, value))
    if not len(element) and element.text and element.text.strip():
        found[_TEXT] = element.text
    return found


class _Several(list[Any]):
    """The values of children of one name."""


def _nested(element: Any) -> Any:
    if element.get(_NIL) in ("true", "1"):
        return None
    inner = record(element)
    if len(element):
        texts = [element.text, *(child.tail for child in element)]
        mixed = "".join(text for text in texts if text and text.strip())
        if mixed:
            inner[_TEXT] = mixed
    return inner
