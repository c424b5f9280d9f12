"""How a query uses columns that hold cells of text files: as values of a type, or only passed on.

Columns are followed by name, not by scope: where two columns of different tables in the query have one name, a use of
one counts for both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

_PASSES = {"coalesce", "ifnull", "first", "last", "any_value", "lag", "lead", "first_value", "last_value", "nth_value"}
"""Functions that return their first argument unchanged, in some row."""
_ALL_ARGUMENTS = {"coalesce", "ifnull"}
_COUNTS = {"count"}
_COUNTED = exp.Group()
"""Where a column is that is only counted: as one that is grouped by, it needs neither a value nor a text."""
_EXTREMES = {"min": "arg_min", "max": "arg_max"}
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


@dataclass(frozen=True, slots=True)
class QueryCells:
    """Names are in lower case. `values` are the columns whose values are needed, `texts` those that text is made of.
    `results` are the columns of the result that may be cells, with the columns that these are of; `every` says whether
    all columns are among them."""

    values: frozenset[str]
    texts: frozenset[str]
    results: Mapping[str, frozenset[str]]
    every: bool


def cells_of(tree: exp.Query) -> QueryCells:
    """Follows the columns of a checked query."""
    values: set[str] = set()
    texts: set[str] = set()
    sources: dict[str, set[str]] = {}
    results: dict[str, set[str]] = {}
    union = tree.find(exp.SetOperation) is not None
    if any(each.args.get("columns") for each in tree.find_all(exp.TableAlias)):  # names by position
        return QueryCells(
            frozenset(each.name.lower() for each in tree.find_all(exp.Column)), frozenset(), {}, every=False
        )
    for join in tree.find_all(exp.Join):
        values.update(each.name.lower() for each in join.args.get("using") or ())
        if join.method:
            values.update(each.name.lower() for each in tree.find_all(exp.Identifier))
    for column in tree.find_all(exp.Column):
        name, place = column.name.lower(), _passed_to(column)
        if place is None or _extreme(column) is not None:
            values.add(name)
        if isinstance(place, _OF_TEXT):
            texts.add(name)
        if isinstance(place, exp.Select):
            made = _output_name(column, place)
            sources.setdefault(made, set()).add(name)
            if place is tree:
                results.setdefault(made, set()).add(name)
    if union and values & {*sources}:  # the columns of its parts have one type
        values |= {*sources}
    values = {*_closed(values, sources)}
    every = any(isinstance(star.parent, exp.Select | exp.Column) for star in tree.find_all(exp.Star))
    found = {made: frozenset(_closed(names, sources)) for made, names in results.items()}
    return QueryCells(frozenset(values), frozenset(_closed(texts, sources)), found, every)


def with_values(tree: exp.Query, values: Mapping[str, str]) -> exp.Query | None:
    """The query with the columns `values`, which are text, replaced where a value is needed, by the column that has it.
    None for a query of several tables, where names are not enough to tell the columns."""
    several = (exp.Subquery, exp.SetOperation, exp.CTE, exp.Join, exp.Exists)
    if not isinstance(tree, exp.Select) or tree.find(*several) is not None:
        return None
    if any(isinstance(each.args.get("query"), exp.Expr) for each in tree.find_all(exp.In)):
        return None
    changed = tree.copy()
    for column in [*changed.find_all(exp.Column)]:
        twin = values.get(column.name.lower())
        if twin is None:
            continue
        of_value = exp.Column(this=exp.Identifier(this=twin, quoted=True), table=column.args.get("table"))
        if (extreme := _extreme(column)) is not None:
            extreme.set("this", _EXTREMES[extreme.name.lower()])
            extreme.set("expressions", [column.copy(), of_value])
        elif _passed_to(column) is None:
            column.replace(of_value)
    return changed


def _extreme(column: exp.Expr) -> exp.Anonymous | None:
    """The call of `min` or `max` whose only argument the column is."""
    call = column.parent
    if not isinstance(call, exp.Anonymous) or call.name.lower() not in _EXTREMES or len(call.expressions) != 1:
        return None
    return call


_OF_TEXT = (exp.DPipe, exp.Like, exp.ILike, exp.Trim, exp.StrPosition, exp.Substring, exp.Cast, exp.Anonymous)


def _passed_to(column: exp.Expr) -> exp.Expr | None:
    """The SELECT that passes the column on, or the node that groups by it, counts it or needs its text; None where its
    value is needed."""
    node, above = column, column.parent
    while above is not None:
        match above:
            case exp.Paren() | exp.Alias():
                pass
            case exp.Window() | exp.Filter() if above.this is node:
                pass
            case exp.Window():
                return above if any(each is node for each in above.args.get("partition_by") or ()) else None
            case exp.DPipe() | exp.Like() | exp.ILike() | exp.Trim() | exp.StrPosition():
                return above
            case exp.Substring() if above.this is node:
                return above
            case exp.Cast() if above.to.this in (exp.DType.VARCHAR, exp.DType.TEXT, exp.DType.CHAR):
                return above
            case exp.Anonymous() if above.name.lower() in _OF_TEXTS:
                return above
            case exp.Anonymous() if above.name.lower() in _OF_A_TEXT and above.expressions[0] is node:
                return above
            case exp.Case() if above.args.get("default") is node:
                pass
            case exp.If() if above.args.get("true") is node:
                pass
            case exp.Case() if isinstance(node, exp.If):
                pass
            case exp.Anonymous() if above.name.lower() in _COUNTS:
                return _COUNTED
            case exp.Anonymous() if above.name.lower() in _EXTREMES and len(above.expressions) == 1:
                pass
            case exp.Anonymous() if above.name.lower() in _PASSES:
                if above.expressions[0] is not node and above.name.lower() not in _ALL_ARGUMENTS:
                    return None
            case exp.Group() | exp.Distinct():
                return above
            case exp.Select():
                projected = any(each is node for each in above.expressions)
                return above if projected and _is_table(above) else None
            case _:
                return None
        node, above = above, above.parent
    return None


def _is_table(select: exp.Select) -> bool:
    """Whether the SELECT gives rows, not one value for an expression."""
    above = select.parent
    while isinstance(above, exp.SetOperation | exp.Subquery):
        above = above.parent
    return above is None or isinstance(above, exp.From | exp.Join | exp.CTE)


def _output_name(column: exp.Expr, select: exp.Select) -> str:
    node = column
    while node.parent is not select and node.parent is not None:
        node = node.parent
    return (node.alias if isinstance(node, exp.Alias) else column.name).lower()


def _closed(names: Collection[str], sources: Mapping[str, set[str]]) -> Iterator[str]:
    found, left = {*names}, [*names]
    while left:
        name = left.pop()
        yield name
        new = sources.get(name, set()) - found
        found |= new
        left += new
