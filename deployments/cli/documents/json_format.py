"""Strict JSON: refuses duplicate keys, NaN, and deep nesting, which readers treat differently."""

from __future__ import annotations

import json
import math
from collections import Counter
from json import JSONDecodeError, JSONDecoder
from json.decoder import JSONArray, JSONObject  # type: ignore[attr-defined]
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any, NoReturn

from headrace.deployments.cli.documents.yaml_limits import MAX_DEPTH, ParseFault

_MAX_DIGITS = 400


class _Decoder(JSONDecoder):
    """The standard library's pure-Python decoder, which knows its position."""

    def __init__(self, text: str) -> None:
        super().__init__(parse_constant=self._constant, parse_float=self._float, parse_int=self._int)
        self._text = text
        self._lines: list[int] = []
        self.parse_object = self._object
        self.parse_array = self._array
        self.scan_once = py_make_scanner(self)

    def _object(self, place: tuple[str, int], *rest: Any) -> Any:
        line = self._line(place[1])

        def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) < len(pairs):
                twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
                raise ParseFault(f"'{twice}' is given twice (in what begins here)", line, "leave one out")
            return found

        strict, scan_once, _, _, *memo = rest
        return self._nested(lambda: JSONObject(place, strict, scan_once, None, once, *memo), line)

    def _array(self, place: tuple[str, int], scan_once: Any) -> Any:
        return self._nested(lambda: JSONArray(place, scan_once), self._line(place[1]))

    def _nested(self, read: Any, line: int) -> Any:
        self._lines.append(line)
        if len(self._lines) > MAX_DEPTH:
            raise ParseFault(f"The document is nested deeper than {MAX_DEPTH} levels", line, "nest it less")
        found = read()
        self._lines.pop()
        return found

    def _fault(self, what: str, hint: str) -> ParseFault:
        """A fault in the innermost object or list, whose line is known."""
        if not self._lines:
            return ParseFault(what, 1, hint)
        return ParseFault(f"{what} (in what begins here)", self._lines[-1], hint)

    def _line(self, position: int) -> int:
        return self._text.count("\n", 0, position) + 1

    def _constant(self, name: str) -> NoReturn:
        raise self._fault(f"{name} is not JSON", "write null, or a text")

    def _float(self, text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise self._fault(f"'{text[:40]}' is too large for a number", "put it into quotes")
        return number

    def _int(self, text: str) -> int:
        if len(text) > _MAX_DIGITS:
            raise self._fault(f"A number of more than {_MAX_DIGITS} digits", "put it into quotes")
        return int(text)


def read_json(text: str) -> Any:
    """Parses one JSON value. Raises ParseFault."""
    try:
        value = _Decoder(text).decode(text)
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise ParseFault("Half of a surrogate pair is not a character", None, "write both halves of it") from None
    except JSONDecodeError as error:
        raise ParseFault(str(error), error.lineno) from None
