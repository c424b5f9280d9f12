"""What each node of a query does with its operands: passes them on, compares and computes with their values, or reads
their text."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from sqlglot import exp


class Use(Enum):
    """How a node uses an operand."""

    PASSED = auto()
    """The operand is the result in some row, unchanged."""
    VALUE = auto()
    TEXT = auto()
    COUNTED = auto()
    """Whether there is one, or how many different ones."""
    GROUPED = auto()
    """Rows that have the same one are put together."""


EXTREMES = {"min": "arg_min", "max": "arg_max"}
"""Aggregates that return one of the values → the function that returns what belongs to it."""
COMPARED = frozenset({"greatest", "least"})
"""Functions that return one of their arguments, by a comparison of values."""
MOST_COMPARED = 4
"""The most arguments of these that are passed on, since each is repeated for each."""
_PASSES = frozenset(
    """
    first last any_value first_value last_value nth_value lag lead mode arg_max arg_min max_by min_by nullif
    """.split()  # noqa: SIM905 - a table of words
)
"""Functions that return their first argument unchanged, in some row."""
_PASSES_ALL = frozenset({"coalesce", "ifnull"})
_DEFAULT = {"lag": 2, "lead": 2}
"""Functions that return another argument where there is no row, and its place."""
_OF_TEXTS = frozenset(
    """
    concat concat_ws contains damerau_levenshtein ends_with instr jaccard jaro_similarity jaro_winkler_similarity
    levenshtein md5 position prefix regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    replace sha256 starts_with string_split strpos suffix translate
    """.split()  # noqa: SIM905 - a table of words
)
"""Functions whose arguments are all text."""
_OF_A_TEXT = frozenset(
    """
    ascii char_length character_length group_concat json_array_length json_contains json_exists json_extract
    json_extract_string json_keys json_type json_valid lcase left length listagg lower lpad ltrim nfc_normalize
    octet_length ord reverse right rpad rtrim split_part string_agg strip_accents strlen strptime substr substring trim
    try_strptime ucase unicode upper
    """.split()  # noqa: SIM905 - a table of words
)
"""Functions whose first argument is text."""
_TEXT_TYPES = (exp.DType.VARCHAR, exp.DType.TEXT, exp.DType.CHAR)
_OF_TEXT_NODES = (exp.DPipe, exp.Like, exp.ILike, exp.Trim, exp.StrPosition)
_BARE = (exp.Paren, exp.Alias)


def name_of(node: exp.Expr) -> str:
    """The name of a function in lower case; empty for other nodes."""
    return node.name.lower() if isinstance(node, exp.Anonymous) else ""


def is_extreme(node: exp.Expr) -> bool:
    """Whether the node is `min` or `max` of one argument."""
    return name_of(node) in EXTREMES and len(node.expressions) == 1


def operands(node: exp.Expr) -> Iterator[tuple[exp.Expr, Use]]:
    """The operands of a node of an expression. A chain of one operator is one node, however long it is."""
    if isinstance(node, exp.Binary):
        use = Use.TEXT if isinstance(node, _OF_TEXT_NODES) else Use.VALUE
        pending: list[exp.Expr] = [node]
        while pending:
            for each in pending.pop().iter_expressions():
                if type(each) is type(node):
                    pending.append(each)
                else:
                    yield each, use
        return
    for each in node.iter_expressions():
        if not isinstance(each, exp.Identifier | exp.DataType | exp.TableAlias | exp.Var):
            yield each, _use(node, each)


def _use(node: exp.Expr, operand: exp.Expr) -> Use:
    match node:
        case exp.Paren() | exp.Alias() | exp.Distinct():
            return Use.PASSED
        case exp.Tuple():
            return Use.PASSED if isinstance(node.parent, exp.Distinct) else Use.VALUE
        case exp.Window() if operand.arg_key == "partition_by":
            return Use.GROUPED
        case exp.Window() | exp.Filter() | exp.Order() if operand.arg_key == "this":
            return Use.PASSED
        case exp.Case() if operand.arg_key != "this":
            return Use.PASSED
        case exp.If() if operand.arg_key != "this":
            return Use.PASSED
        case exp.Substring() if operand.arg_key == "this":
            return Use.TEXT
        case exp.Cast() if node.to.this in _TEXT_TYPES:
            return Use.TEXT
        case exp.Anonymous():
            return _use_of_argument(node, operand.index or 0)
    return Use.TEXT if isinstance(node, _OF_TEXT_NODES) else Use.VALUE


def _use_of_argument(node: exp.Anonymous, place: int) -> Use:
    name = node.name.lower()
    if name in _OF_TEXTS or (name in _OF_A_TEXT and place == 0):
        return Use.TEXT
    if name == "count":
        return Use.COUNTED
    compared = name in COMPARED and len(node.expressions) <= MOST_COMPARED
    if compared or name in _PASSES_ALL or (place == 0 and (name in _PASSES or is_extreme(node))):
        return Use.PASSED
    return Use.PASSED if _DEFAULT.get(name) == place else Use.VALUE


def is_bare(node: exp.Expr) -> bool:
    """Whether the node is a column, or a query that gives one, perhaps with an alias or in parentheses."""
    while isinstance(node, _BARE):
        node = node.this
    return isinstance(node, exp.Column | exp.Subquery)


def makes_text(node: exp.Expr) -> bool:
    """Whether the result is text, or null, whatever the operands are."""
    match node:
        case exp.Null():
            return True
        case exp.Literal():
            return bool(node.is_string)
        case exp.Cast():
            return node.to.this in _TEXT_TYPES
    return isinstance(node, exp.DPipe | exp.Trim | exp.Substring)
