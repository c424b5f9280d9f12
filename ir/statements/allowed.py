"""What the SQL of a hook may use: functions, types, and how much a SELECT may generate."""

from __future__ import annotations

from math import prod

from sqlglot import exp

from headrace.ir.problems import fault
from headrace.ir.sql.expressions.bounds import MAX_PADDED

FUNCTIONS = frozenset(
    """
    abs age array_agg array_length avg bit_and bit_or bool_and bool_or btrim cardinality ceil ceiling char_length
    character_length chr coalesce concat concat_ws corr count cume_dist current_date current_time current_timestamp
    date_bin date_part date_trunc dense_rank div encode every exp extract first_value floor gcd generate_series
    greatest initcap jsonb_agg jsonb_array_length jsonb_extract_path jsonb_extract_path_text jsonb_typeof justify_days
    lag last_value lead least left length ln log lower lpad ltrim make_date make_interval make_timestamp max md5 min
    mod mode now nth_value ntile nullif num_nonnulls num_nulls octet_length overlay percent_rank percentile_cont
    percentile_disc position power rank regexp_count regexp_like regexp_match regexp_replace regexp_substr repeat
    replace reverse right round row_number rpad rtrim sha256 sign split_part sqrt starts_with stddev stddev_pop
    stddev_samp string_agg strpos substr substring sum to_char to_date to_number to_timestamp to_tsvector translate
    trim trunc unaccent upper var_pop var_samp variance width_bucket
    """.split()  # noqa: SIM905 - a table of words
)

TYPES = frozenset(
    """
    bigint bool boolean char character date dec decimal double float int int2 int4 int8 integer interval json jsonb
    numeric real smallint text time timestamp timestamptz timetz uuid varchar varying zone precision
    """.split()  # noqa: SIM905 - a table of words
)

BEFORE_PAREN = frozenset(
    """
    all and any array as asc between by case cast desc distinct else except exists filter from group having ilike in
    intersect is join like limit materialized not null nulls offset on or order over partition select similar some
    then to union using values when where with within
    """.split()  # noqa: SIM905 - a table of words
)
"""Keywords that may come before a parenthesis without being a call."""


MAX_SERIES = 1_000_000
"""The largest number of rows of a generate_series."""
MAX_REPEATED = 1_000_000
"""The largest product of the counts of all repeat, lpad and rpad in a statement, which may be nested."""
_UNITS = {"DAY", "DAYS", "WEEK", "WEEKS", "MONTH", "MONTHS", "YEAR", "YEARS"}


def check_bounds(tree: exp.Expr) -> None:
    """Raises a fault (`forbidden_function`) if the bounds are exceeded or cannot be determined."""
    counts = [_count(node) for node in tree.find_all(exp.Repeat, exp.Pad)]
    if prod(counts) > MAX_REPEATED:
        message = f"repeat, lpad and rpad of a hook's SQL make more than {MAX_REPEATED:,} characters together"
        raise fault("forbidden_function", message, "use smaller counts")
    for series in tree.find_all(exp.GenerateSeries, exp.ExplodingGenerateSeries):
        _check_series(series)


def _count(node: exp.Expr) -> int:
    count = _number(node.args.get("times" if isinstance(node, exp.Repeat) else "expression"))
    if count is None or count > MAX_PADDED:
        name = "repeat" if isinstance(node, exp.Repeat) else "lpad and rpad"
        message = f"{name} of a hook's SQL takes a count that is a literal, at most {MAX_PADDED:,}"
        raise fault("forbidden_function", message, "write the number")
    return max(count, 1)


def _check_series(series: exp.Expr) -> None:
    start, end, step = (series.args.get(name) for name in ("start", "end", "step"))
    if isinstance(step, exp.Interval) and _days(step):
        return
    first, last = _number(start), _number(end)
    by = 1 if step is None else _number(step)
    if first is None or last is None or not by or abs(last - first) // abs(by) > MAX_SERIES:
        message = (
            f"generate_series of a hook's SQL takes literal numbers, at most {MAX_SERIES:,} of them, or a step of days"
        )
        raise fault("forbidden_function", message, "generate_series(1, 100), or dates with a step of INTERVAL '1 day'")


def _days(step: exp.Interval) -> bool:
    """Whether an interval is a whole number of days, weeks, months or years."""
    unit = step.args.get("unit")
    return unit is not None and unit.name.upper() in _UNITS and bool(_number(step.this))


def _number(node: object) -> int | None:
    if isinstance(node, exp.Neg):
        inner = _number(node.this)
        return None if inner is None else -inner
    return int(node.name) if isinstance(node, exp.Literal) and node.name.isdigit() and len(node.name) < 19 else None
