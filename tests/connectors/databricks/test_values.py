"""Each value that the protocol sends is in the batch unchanged, or rejected with a reason."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headrace.connectors.databricks.types import column, expression
from headrace.connectors.errors import SourceError
from tests.connectors.databricks.double import Double
from tests.connectors.databricks.values import SENT
from tests.connectors.sent_values import read_as_expected


@pytest.mark.parametrize("native", SENT)
def test_each_value_that_is_sent_arrives_exactly_or_as_an_error(databricks: Double, native: str) -> None:
    given = SENT[native]
    databricks.can("c", [("v", native)], pa.table({"v": given.array}))
    found = read_as_expected(databricks.source(table="c"), [expected for _, expected in given.pairs])
    assert [field.data_type for field in found.schema] == [given.data_type]


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
