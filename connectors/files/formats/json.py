"""JSON documents (the objects of one array) and JSON lines (one object per line)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import BOM
from headrace.connectors.files.delimited.records import record_chunks
from headrace.connectors.files.delimited.structure import NEWLINE, Marks, line_ends
from headrace.connectors.files.formats.json_rows import JsonRows
from headrace.connectors.files.jsontext.array_path import find_array, path_keys
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.jsontext.elements import element_blocks
from headrace.connectors.files.streams import ByteStream


class Json(JsonRows):
    """Options: path, encoding, nullValues."""

    form = "json"
    own = ("encoding", "path")

    def __init__(self, options: Mapping[str, Any], **sizes: int) -> None:
        super().__init__(options, **sizes)
        path = options.get("path") or ""
        if not isinstance(path, str):
            raise SourceError("bad_option", f"options.path must be a text such as data.items, not {path!r}.")
        self._path = path_keys(path)

    def _start(self, stream: ByteStream) -> int:
        return find_array(stream, self._path)

    def _blocks(self, stream: ByteStream, start: int, end: int | None) -> Iterator[Block]:
        end_offset = start
        for block in element_blocks(stream, start, end, self._chunk_bytes):
            end_offset = block.end_offset
            if block.rows:
                yield block
        if end is None:
            self._check_end(stream, end_offset + 1)

    def _check_end(self, stream: ByteStream, end_offset: int) -> None:
        rest = stream.read_at(end_offset, 1 << 16).lstrip(b" \t\r\n")[:1]
        if rest and (not self._path or rest not in (b",", b"}")):
            raise SourceError(
                "not_json",
                f"There is more text after the end of the array, at byte {end_offset}.",
                "A bracket or a quote is in the wrong place; nothing was loaded.",
            )
        if not rest and self._path:
            raise SourceError("cut_off", "It is cut off: it ends after the array.", "Send it again.")


_LINES = Marks(NEWLINE, None)


class JsonLines(JsonRows):
    """Options: encoding, nullValues."""

    form = "jsonl"
    own = ("encoding",)

    def _start(self, stream: ByteStream) -> int:
        head = stream.read_at(0, len(BOM))
        if not head:
            raise SourceError("empty_file", "It is empty.", "A JSON lines file has at least one object.")
        return len(BOM) if head == BOM else 0

    def _blocks(self, stream: ByteStream, start: int, end: int | None) -> Iterator[Block]:
        for end_offset, chunk, _ in record_chunks(stream, start, end, _LINES, self._chunk_bytes):
            ends = line_ends(chunk)
            if not len(ends) or ends[-1] != len(chunk) - 1:
                ends = np.append(ends, len(chunk))
            yield Block(end_offset, chunk, ends, lines=True)
