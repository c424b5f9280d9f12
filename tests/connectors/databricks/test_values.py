"""Each value that the protocol sends is in the batch unchanged, or rejected with a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from headrace.connectors.databricks.types import column, expression
from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW
from tests.connectors.databricks.double import Double

LONG = Decimal("9" * 20 + "." + "9" * 18)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999)


@pytest.mark.parametrize(
    ("native", "arrow", "values", "type_"),
    [
        ("tinyint", pa.int8(), [-128, 127, None], "smallint"),
        ("smallint", pa.int16(), [-(2**15), None], "smallint"),
        ("int", pa.int32(), [2**31 - 1, None], "integer"),
        ("bigint", pa.int64(), [2**63 - 1, -(2**63), None], "bigint"),
        (
            "decimal(38,18)",
            pa.decimal128(38, 18),
            [Decimal("9" * 20 + "." + "9" * 18), Decimal("-1E-18"), None],
            "decimal",
        ),
        ("decimal(38,0)", pa.decimal128(38, 0), [Decimal("9" * 38), None], "decimal"),
        ("double", pa.float64(), [1e-300, -0.1, float("inf"), 5e-324, None], "double"),
        ("boolean", pa.bool_(), [True, False, None], "boolean"),
        ("string", pa.string(), ["", "é\n\t\\'", " x ", None], "text"),
        ("varchar(5)", pa.string(), ["", "abcde", None], "varchar"),
        ("string collate UNICODE_CI", pa.string(), ["A", None], "text"),
        ("date", pa.date32(), [date(1, 1, 1), date(9999, 12, 31), None], "date"),
        ("timestamp_ntz", pa.timestamp("us"), [datetime(1, 1, 1), LAST, None], "timestamp"),
        (
            "timestamp",
            pa.timestamp("us", "Etc/UTC"),
            [datetime(1, 1, 1, tzinfo=UTC), LAST.replace(tzinfo=UTC), None],
            "timestamptz",
        ),
        ("array<struct<a:int>>", pa.string(), ['[{"a":1},{"a":null}]', "[]", None], "json"),
        ("map<string,decimal(38,18)>", pa.string(), ['{"a":12345678901234567890.123456789012345678}', None], "json"),
        ("variant", pa.string(), ['{"n":1.10}', "null", None], "json"),
        ("interval day to second", pa.string(), ["INTERVAL '1 02:03:04.5' DAY TO SECOND", None], "text"),
        ("void", pa.null(), [None], "text"),
    ],
)
def test_what_is_sent_is_what_arrives(
    databricks: Double, native: str, arrow: pa.DataType, values: list[Any], type_: str
) -> None:
    databricks.can("c", [("v", native)], pa.table({"v": pa.array(values, arrow)}))
    source = databricks.source(table="c")
    found = source.discover(max_partitions=1)
    [field] = found.schema
    assert field.data_type == type_
    read = pl.concat(batch.frame for batch in source.read(found.partitions[0], found.schema))
    assert read["v"].to_list() == values
    assert read[ROW].to_list() == list(range(1, len(values) + 1))


def test_a_float_is_the_very_number(databricks: Double) -> None:
    databricks.can("c", [("v", "float")], pa.table({"v": pa.array([0.1, None], pa.float32())}))
    source = databricks.source(table="c")
    found = source.discover(max_partitions=1)
    [batch] = source.read(found.partitions[0], found.schema)
    assert batch.frame["v"].to_list() == [0.10000000149011612, None]


def test_bytes_are_in_postgresqls_form(databricks: Double) -> None:
    databricks.can("c", [("v", "binary")], pa.table({"v": pa.array([b"", b"\x00\xff", None], pa.binary())}))
    source = databricks.source(table="c")
    found = source.discover(max_partitions=1)
    [batch] = source.read(found.partitions[0], found.schema)
    assert batch.frame["v"].to_list() == ["\\x", "\\x00ff", None]


def test_years_without_four_digits_are_error_rows(databricks: Double) -> None:
    """290,000 is the last year that Databricks has."""
    moments = pa.array([0, 253402300800000000, 253402300799999999, None], pa.timestamp("us", "Etc/UTC"))
    databricks.can("c", [("v", "timestamp")], pa.table({"v": moments}))
    source = databricks.source(table="c")
    found = source.discover(max_partitions=1)
    [batch] = source.read(found.partitions[0], found.schema)
    assert batch.frame[ROW].to_list() == [1, 3, 4]
    assert batch.rejects.rows()[0][:2] == (2, "v")


def test_a_form_that_is_not_known_says_so(databricks: Double) -> None:
    odd = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    databricks.can("c", [("v", "interval month")], pa.table({"v": odd}))
    source = databricks.source(table="c")
    found = source.discover(max_partitions=1)
    with pytest.raises(SourceError, match="'v' is interval month, and comes as month_day_nano_interval") as refused:
        list(source.read(found.partitions[0], found.schema))
    assert refused.value.code == "unsupported_type"


@pytest.mark.parametrize(
    ("native", "selected"),
    [
        ("struct<a:int>", "to_json(`v`, map('ignoreNullFields', 'false'))"),
        ("map<string,int>", "to_json(`v`, map('ignoreNullFields', 'false'))"),
        ("variant", "to_json(`v`)"),
        ("interval year to month", "CAST(`v` AS STRING)"),
        ("geography(4326)", "CAST(`v` AS STRING)"),
        ("decimal(10,2)", "`v`"),
    ],
)
def test_how_columns_are_selected(native: str, selected: str) -> None:
    assert expression(column("v", native)) == selected
