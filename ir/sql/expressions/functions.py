"""The functions and types that an expression may use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ANY, TEXT, NUMBER, BOOLEAN, TIME, LIST = "a value", "text", "a number", "true or false", "a date or time", "a list"
DAY, TIME_OF_DAY, SPAN, BYTES = "a date", "a time of day", "an interval", "bytes"
COUNT, PATTERN, LITERAL, PART = "a whole number, written out", "a pattern", "a text, written out", "a part of a date"
TEMPORAL = frozenset({TIME, DAY, TIME_OF_DAY, SPAN})


@dataclass(frozen=True, slots=True)
class Function:
    """`takes` are the types of the arguments, the last `optional` of which may be left out; with `more`, the last one
    may be repeated. `gives` is the type of the result. `copies`: how often polars repeats each argument in its plan."""

    takes: tuple[str, ...]
    gives: str
    optional: int = 0
    more: bool = False
    copies: tuple[int, ...] = ()

    @property
    def least(self) -> int:
        """The least number of arguments."""
        return len(self.takes) - self.optional

    def argument(self, index: int) -> str:
        """Returns the type of the argument at an index."""
        return self.takes[min(index, len(self.takes) - 1)]


def _each(names: str, function: Function) -> Iterable[tuple[str, Function]]:
    return ((name, function) for name in names.split())


_number = Function((NUMBER,), NUMBER)
_two_numbers = Function((NUMBER, NUMBER), NUMBER)

FUNCTIONS: dict[str, Function] = dict(
    (
        *_each("ABS CBRT CEIL CEILING ERF ERFC EXP FLOOR LN LOG10 LOG1P LOG2 SIGN SQRT", _number),
        *_each("COS COT SIN TAN COSD COTD SIND TAND ACOS ASIN ATAN ACOSD ASIND ATAND DEGREES RADIANS", _number),
        *_each("ATAN2 ATAN2D DIV LOG MOD POW POWER", _two_numbers),
        *_each("ROUND TRUNC TRUNCATE", Function((NUMBER, COUNT), NUMBER, optional=1)),
        ("PI", Function((), NUMBER)),
        *_each("BIT_AND BITAND BIT_OR BITOR BIT_XOR BITXOR XOR", Function((ANY, ANY), ANY)),
        *_each("BIT_NOT BITNOT", Function((ANY,), ANY)),
        *_each("BIT_COUNT BITCOUNT", _number),
        ("COALESCE", Function((ANY,), ANY, more=True)),
        *_each("GREATEST LEAST", Function((ANY,), ANY, more=True)),
        ("IF", Function((BOOLEAN, ANY, ANY), ANY)),
        ("IFNULL", Function((ANY, ANY), ANY)),
        ("NULLIF", Function((ANY, ANY), ANY, copies=(2, 1))),
        *_each("NOW CURRENT_TIMESTAMP LOCALTIMESTAMP", Function((), TIME)),
        ("CURRENT_DATE", Function((), DAY)),
        *_each("CURRENT_TIME LOCALTIME", Function((), TIME_OF_DAY)),
        ("DATE", Function((TEXT, LITERAL), DAY, optional=1)),
        *_each("TIMESTAMP DATETIME", Function((TEXT, LITERAL), TIME, optional=1)),
        ("TIME", Function((TEXT, LITERAL), TIME_OF_DAY, optional=1)),
        ("STRPTIME", Function((TEXT, LITERAL), TIME)),
        ("STRFTIME", Function((TIME, LITERAL), TEXT)),
        ("DATE_PART", Function((PART, TIME), NUMBER, copies=(1, 3))),
        *_each("YEAR QUARTER MONTH WEEK DAY DAYOFMONTH DAYOFYEAR HOUR MINUTE", Function((TIME,), NUMBER)),
        *_each("DAYOFWEEK SECOND", Function((TIME,), NUMBER, copies=(3,))),
        *_each("LENGTH CHAR_LENGTH CHARACTER_LENGTH OCTET_LENGTH BIT_LENGTH", Function((TEXT,), NUMBER)),
        *_each("LOWER UPPER INITCAP REVERSE TRIM", Function((TEXT,), TEXT)),
        *_each("LTRIM RTRIM", Function((TEXT, TEXT), TEXT, optional=1)),
        *_each("LEFT RIGHT", Function((TEXT, NUMBER), TEXT, copies=(4, 4))),
        *_each("SUBSTR SUBSTRING", Function((TEXT, NUMBER, NUMBER), TEXT, optional=1, copies=(2, 4, 2))),
        *_each("LPAD RPAD", Function((TEXT, COUNT, LITERAL), TEXT, optional=1)),
        ("CONCAT", Function((ANY,), TEXT, more=True)),
        ("CONCAT_WS", Function((LITERAL, ANY), TEXT, more=True)),
        ("REPLACE", Function((TEXT, TEXT, TEXT), TEXT)),
        ("REGEXP_LIKE", Function((TEXT, PATTERN, LITERAL), BOOLEAN, optional=1)),
        ("REGEXP_REPLACE", Function((TEXT, PATTERN, LITERAL, LITERAL), TEXT, optional=1)),
        ("SPLIT_PART", Function((TEXT, TEXT, NUMBER), TEXT, copies=(3, 1, 3))),
        ("STRPOS", Function((TEXT, TEXT), NUMBER)),
        *_each("STARTS_WITH ENDS_WITH", Function((TEXT, TEXT), BOOLEAN)),
        ("NORMALIZE", Function((TEXT,), TEXT)),
        ("STRING_TO_ARRAY", Function((TEXT, TEXT), LIST)),
        ("ARRAY_TO_STRING", Function((LIST, LITERAL, LITERAL), TEXT, optional=1)),
        ("ARRAY_CONTAINS", Function((LIST, ANY), BOOLEAN)),
        ("ARRAY_GET", Function((LIST, NUMBER), ANY, copies=(1, 3))),
        *_each("ARRAY_LENGTH ARRAY_SUM ARRAY_MEAN", Function((LIST,), NUMBER)),
        *_each("ARRAY_LOWER ARRAY_UPPER", Function((LIST,), ANY)),
        *_each("ARRAY_REVERSE ARRAY_UNIQUE", Function((LIST,), LIST)),
    )
)

MULTI_ROW_FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(
        """
    APPROX_QUANTILE ANY_VALUE ARRAY_AGG AVG BOOL_AND BOOL_OR CORR COUNT COVAR COVAR_POP COVAR_SAMP EVERY FIRST
    GROUPING GROUPING_ID GROUP_CONCAT LAST LISTAGG MAX MEDIAN MIN MODE QUANTILE_CONT QUANTILE_DISC STDDEV
    STDDEV_SAMP STDEV STDEV_SAMP STRING_AGG SUM TOTAL VAR VARIANCE VAR_SAMP
    """.split(),  # noqa: SIM905 - a table of words
        "an aggregate",
    ),
    **dict.fromkeys(
        """
    CUME_DIST DENSE_RANK FIRST_VALUE LAG LAST_VALUE LEAD NTH_VALUE NTILE PERCENT_RANK RANK ROW_NUMBER
    """.split(),  # noqa: SIM905 - a table of words
        "a window function",
    ),
    **dict.fromkeys(["UNNEST", "EXPLODE"], "a function that makes several rows"),
    "COLUMNS": "a choice of columns",
}
"""Other functions of polars, with what they are instead of functions of one row."""

WITHOUT_PARENTHESES = frozenset({"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"})

PARTS = frozenset(
    """
    CENTURY DAY DAYS DAYOFWEEK DAYOFYEAR DECADE DOW DOY EPOCH HOUR ISODOW ISOWEEK ISOYEAR MICROSECOND
    MICROSECONDS MILLENNIUM MILLISECOND MILLISECONDS MINUTE MONTH NANOSECOND NANOSECONDS QUARTER SECOND TIME
    TIMEZONE WEEK YEAR YEARS
    """.split(),  # noqa: SIM905 - a table of words
)
"""The parts of a date or time for EXTRACT."""


TYPES: dict[str, str] = {
    **dict.fromkeys(
        """
    TINYINT SMALLINT MEDIUMINT INT INTEGER BIGINT INT1 INT2 INT4 INT8 INT16 INT32 INT64 INT128 HUGEINT UINT
    UINT1 UINT2 UINT4 UINT8 UINT16 UINT32 UINT64 UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT FLOAT4
    FLOAT8 REAL DOUBLE DEC DECIMAL NUMERIC
    """.split(),  # noqa: SIM905 - a table of words
        NUMBER,
    ),
    **dict.fromkeys(["BOOL", "BOOLEAN"], BOOLEAN),
    **dict.fromkeys(["CHAR", "CHARACTER", "CLOB", "STRING", "TEXT", "UUID", "VARCHAR"], TEXT),
    **dict.fromkeys(["BINARY", "BLOB", "BYTEA", "BYTES", "VARBINARY"], BYTES),
    "DATE": DAY,
    "TIME": TIME_OF_DAY,
    **dict.fromkeys(["DATETIME", "TIMESTAMP", "TIMESTAMPTZ"], TIME),
    "INTERVAL": SPAN,
}
"""First word of the type → type of its values."""

DECIMALS = frozenset({"DEC", "DECIMAL", "NUMERIC"})
WITH_ZONE = frozenset({"TIMESTAMP"})
UNSIGNED = frozenset({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT", "INT2", "INT4", "INT8"})
VARYING = frozenset({"CHAR", "CHARACTER"})
WITHOUT_SIZE = frozenset({"BOOL", "BOOLEAN", "DATE", "TEXT", "UUID", "INTERVAL", "REAL", "TIMESTAMPTZ"})

MAX_DIGITS = 38
