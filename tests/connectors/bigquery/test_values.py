"""Each value that BigQuery sends is in the batch unchanged, or rejected with a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.source import Wanted
from headrace.ir.schema import Field
from tests.connectors.bigquery.double import Double
from tests.connectors.bigquery.values import MOST, SENT, TINY, described
from tests.connectors.reading import batches, rejects, rows
from tests.connectors.sent_values import read_as_expected


def sent(bigquery: Double, *columns: tuple[dict[str, Any], pa.Array], **settings: Any) -> Any:
    """A source of a table with these columns, in the Arrow form that Google documents."""
    names = [field["name"] for field, _ in columns]
    bigquery.can("canned", [field for field, _ in columns], pa.table([array for _, array in columns], names=names))
    return bigquery.source(table="canned", **settings)


def column(kind: str, values: list[Any], arrow: pa.DataType, name: str = "v", **more: Any) -> tuple[Any, pa.Array]:
    return {"name": name, "type": kind, "mode": "NULLABLE", **more}, pa.array(values, arrow)


@pytest.mark.parametrize("kind", SENT)
def test_each_value_that_is_sent_arrives_exactly_or_as_an_error(bigquery: Double, kind: str) -> None:
    given = SENT[kind]
    source = sent(bigquery, (described(kind), given.array))
    [field] = read_as_expected(source, [expected for _, expected in given.pairs]).schema
    assert field.data_type == given.data_type
    if "precision" in given.more and given.data_type == "decimal":
        assert (field.precision, field.scale) == (int(given.more["precision"]), int(given.more.get("scale", 0)))


def test_a_bignumeric_beyond_a_declared_decimal_is_an_error_row(bigquery: Double) -> None:
    given = column("BIGNUMERIC", [Decimal("1.5"), MOST], pa.decimal256(76, 38))
    source = sent(bigquery, given, fields=(Field("v", "decimal", 38, 9),))
    assert source.discover(max_partitions=1).sure == frozenset()
    assert rows(source) == [(Decimal("1.5"),)]
    [(row, name, value, *_)] = rejects(source)
    assert (row, name, value) == (2, "v", f"{MOST:f}")


def test_digits_below_a_microsecond_are_error_rows_unless_text_is_declared(bigquery: Double) -> None:
    """TIMESTAMP(12) comes as text, because it is asked for with all its digits."""
    texts = ["2024-01-01T10:00:00.123456000000Z", "2024-01-01T10:00:00.123456000001Z", None]
    given = column("TIMESTAMP", texts, pa.string(), timestampPrecision="12")
    source = sent(bigquery, given)
    assert source.discover(max_partitions=1).sure == frozenset()
    assert rows(source) == [(datetime(2024, 1, 1, 10, 0, 0, 123456, UTC),), (None,)]
    assert [each[:3] for each in rejects(source)] == [(2, "v", texts[1])]
    source = sent(bigquery, given, fields=(Field("v", "text"),))
    assert [row[0] for row in rows(source)] == texts


def test_nested_values_are_json(bigquery: Double) -> None:
    inner = pa.struct([("n", pa.decimal256(76, 38)), ("at", pa.timestamp("us", "UTC"))])
    fields = [{"name": "n", "type": "BIGNUMERIC"}, {"name": "at", "type": "TIMESTAMP"}]
    values = [[{"n": MOST, "at": datetime(2024, 1, 1, tzinfo=UTC)}, {"n": None, "at": None}], []]
    source = sent(
        bigquery,
        column("RECORD", values, pa.list_(inner), "a", mode="REPEATED", fields=fields),
        column("RECORD", [{"n": TINY, "at": None}, None], inner, "s", fields=fields),
    )
    assert rows(source) == [
        (f'[{{"n":{MOST:f},"at":"2024-01-01T00:00:00Z"}},{{"n":null,"at":null}}]', f'{{"n":{TINY:f},"at":null}}'),
        ("[]", None),
    ]


def test_a_type_that_is_not_known_is_text_or_says_so(bigquery: Double) -> None:
    source = sent(bigquery, column("UUID", ["a-b"], pa.string()))
    assert rows(source) == [("a-b",)]
    source = sent(bigquery, column("CUBE", [(1, 2, 3)], pa.month_day_nano_interval()))
    with pytest.raises(SourceError, match="'v' is CUBE, and comes as month_day_nano_interval") as refused:
        rows(source)
    assert refused.value.code == "unsupported_type"


def test_values_of_the_emulators_own_tables(bigquery: Double) -> None:
    """What bqemulator stores and sends by itself."""
    bigquery.table(
        "t",
        [
            *(
                {"name": name, "type": kind}
                for name, kind in zip("ijt", ("INTERVAL", "JSON", "TIMESTAMP"), strict=True)
            ),
            {"name": "r", "type": "RANGE", "rangeElementType": {"type": "DATE"}},
            {"name": "a", "type": "INTEGER", "mode": "REPEATED"},
            {"name": "b", "type": "BYTES"},
        ],
    )
    bigquery.make(
        "INSERT INTO t VALUES (INTERVAL 1 DAY, JSON '{\"a\":1}', TIMESTAMP '2024-01-01 10:00:00.123456+02', "
        "RANGE(DATE '2024-01-01', DATE '2024-02-01'), [1, 2], FROM_HEX('00ff'))"
    )
    assert rows(bigquery.source(table="t")) == [
        (
            *("0-0 1 0:0:0", '{"a":1}', datetime(2024, 1, 1, 8, 0, 0, 123456, UTC)),
            *("[2024-01-01,2024-02-01)", "[1,2]", "\\x00ff"),
        )
    ]


def test_rows_are_counted_where_no_column_is_wanted(bigquery: Double) -> None:
    source = sent(
        bigquery,
        column("STRING", ["a", "b"], pa.string(), "s"),
        column("INTEGER", [1, 2], pa.int64(), "i"),
    )
    found = source.narrowed(source.discover(max_partitions=1), Wanted(frozenset()))
    assert bigquery.sessions()[-1]["fields"] == ["i"]
    [batch] = batches(source, found, found.partitions[0], columns=())
    assert (batch.rows, batch.frame.columns, batch.frame.height) == (2, ["__row"], 2)
