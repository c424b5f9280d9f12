"""Validates filters and projections: what is sent to the server is built from operators that are known to only compare.

No operator that runs code (`$where`, `$function`, `$accumulator`), reads another collection or writes has a name here,
so that none can be sent; neither has `$expr`, which can contain such operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.mongodb.extended_json import WRAPPERS, NoValue, plain_number, value_of
from headrace.ir.problems import nearest

_LOGIC = frozenset(("$and", "$or", "$nor"))
_COMPARISONS = frozenset(("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"))
_LISTS = frozenset(("$in", "$nin", "$all"))
_TYPES = frozenset(
    (
        *("double", "string", "object", "array", "binData", "undefined", "objectId", "bool", "date", "null", "regex"),
        *("javascript", "symbol", "int", "timestamp", "long", "decimal", "minKey", "maxKey", "number"),
    )
)
OPERATORS = _LOGIC | _COMPARISONS | _LISTS | {"$exists", "$type", "$size", "$mod", "$regex", "$not", "$elemMatch"}
"""The operators that a filter may contain."""
_FLAGS = frozenset("imsx")
_DEEPEST = 20
_MOST = 2000
_LONGEST_PATTERN = 1000


class Refused(ValueError):
    """An invalid filter or projection, which is not sent; `hint` says how to correct it."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


def checked_filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """The filter with the driver's values. Needs the driver only for values that JSON has no type for. Raises
    Refused."""
    return _Checker().conditions(given, 0)


def checked_projection(given: Mapping[str, Any]) -> dict[str, int]:
    """The projection: names or paths, all with 1 (only these) or all with 0 (all except these). `_id` is always read.
    Raises Refused."""
    if not given:
        raise Refused("The projection names no field", 'write {"name": 1}, or leave it out')
    found: dict[str, int] = {}
    for name, value in given.items():
        if not _is_path(name):
            message = f"'{name[:100]}' is not a field that a projection can name"
            raise Refused(message, "read the whole document instead")
        if value not in (0, 1) or isinstance(value, float):
            raise Refused(f"The projection's '{name[:100]}' is neither 1 nor 0", "computed fields are the pipeline's")
        found[name] = int(value)
    if found.get("_id") == 0:
        raise Refused("'_id' cannot be left out: reading continues after it", "remove it from the projection")
    if len({value for name, value in found.items() if name != "_id"}) > 1:
        raise Refused("The projection has both 1 and 0", "name what is read, or what is not")
    return found


def _is_path(name: str) -> bool:
    return bool(name) and "\0" not in name and not any(not part or part.startswith("$") for part in name.split("."))


class _Checker:
    """Validates one filter and counts its nodes."""

    def __init__(self) -> None:
        self._seen = 0

    def conditions(self, given: object, depth: int) -> dict[str, Any]:
        """`{"city": "Ulm", "$or": [...]}`."""
        if not isinstance(given, Mapping):
            raise Refused("A condition is an object", 'write {"city": "Ulm"}')
        found: dict[str, Any] = {}
        for name, value in given.items():
            self._count(depth)
            if name in _LOGIC:
                found[name] = [self.conditions(each, depth + 1) for each in self._list(name, value)]
            elif name.startswith("$"):
                raise _unknown(name)
            elif not _is_path(name):
                raise Refused(f"'{name[:100]}' is not a field", "write a name, or a path such as address.city")
            else:
                found[name] = self._condition(value, depth + 1)
        return found

    def _condition(self, given: object, depth: int) -> Any:
        """The condition of a field: a value, or operators."""
        if not isinstance(given, Mapping) or _is_value(given):
            return self._value(given, depth)
        if not any(str(name).startswith("$") for name in given):
            return self._value(given, depth)
        if "$options" in given and "$regex" not in given:
            raise Refused("'$options' are for a $regex", "remove them")
        return {name: self._operand(name, value, depth) for name, value in given.items()}

    def _operand(self, name: str, value: object, depth: int) -> Any:
        self._count(depth)
        if name in _COMPARISONS:
            return self._value(value, depth + 1)
        if name in _LISTS:
            return [self._value(each, depth + 1) for each in self._list(name, value)]
        match name, value:
            case "$exists", bool():
                return value
            case "$size", int() if not isinstance(value, bool) and value >= 0:
                return value
            case "$type", str() | list():
                names = [value] if isinstance(value, str) else value
                for each in names:
                    if each not in _TYPES:
                        raise Refused(f"'{str(each)[:50]}' is not a type", nearest(str(each), sorted(_TYPES)))
                return list(names)
            case "$mod", [int(), int()]:
                return value
            case "$regex", str() if len(value) <= _LONGEST_PATTERN:
                return value
            case "$options", str() if set(value) <= _FLAGS:
                return value
            case "$not", Mapping() if not _is_value(value):
                return self._condition(value, depth + 1)
            case "$elemMatch", Mapping():
                operators = any(str(each).startswith("$") and each not in _LOGIC for each in value)
                return self._condition(value, depth + 1) if operators else self.conditions(value, depth + 1)
        if name in OPERATORS or name == "$options":
            raise Refused(f"'{name}' is not given what it takes", "as in MongoDB's reference of query operators")
        raise _unknown(name)

    def _value(self, given: object, depth: int) -> Any:
        self._count(depth)
        match given:
            case None | bool() | float():
                return given
            case str():
                if "\ud800" <= max(given, default="") <= "\udfff":
                    raise Refused("A text is not Unicode", "")
                return given
            case int():
                return self._checked_value(plain_number, given)
            case list():
                return [self._value(each, depth + 1) for each in given]
            case Mapping() if _is_value(given):
                if PARAMETER.search(str(given)):
                    return given  # a parameter that a run fills in
                return self._checked_value(value_of, given)
            case Mapping():
                for name in given:
                    if str(name).startswith("$"):
                        raise Refused(f"'{str(name)[:50]}' is not allowed as a value", "")
                return {str(name): self._value(each, depth + 1) for name, each in given.items()}
        raise Refused("A value is none of JSON's", "")

    def _checked_value(self, make: Any, given: Any) -> Any:
        try:
            return make(given)
        except NoValue as error:
            raise Refused(f"{str(given)[:100]} is not a value", f"expected: {error}") from None

    def _list(self, name: str, given: object) -> Sequence[Any]:
        if not isinstance(given, list) or (not given and name in _LOGIC):
            raise Refused(f"'{name}' takes a list", f'write "{name}": [...]')
        return given

    def _count(self, depth: int) -> None:
        self._seen += 1
        if depth > _DEEPEST or self._seen > _MOST:
            raise Refused("The filter is too large", f"at most {_DEEPEST} levels and {_MOST:,} parts")


def _is_value(given: Mapping[Any, Any]) -> bool:
    return len(given) == 1 and next(iter(given)) in WRAPPERS


def _unknown(name: str) -> Refused:
    known = sorted(OPERATORS)
    return Refused(f"A filter cannot have '{name[:50]}'", nearest(name, known) or f"it can have {', '.join(known)}")
