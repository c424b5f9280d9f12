"""Problems are reported when the pipeline is compiled, at their place in the document."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.flows.compile import TargetColumn
from headrace.ir.problems import MAX_PROBLEMS
from headrace.ir.schema import Field
from tests.flows.pipelines import logical


def problems(*args: Any, **kwargs: Any) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in logical(*args, **kwargs).problems]


@pytest.mark.parametrize(
    ("op", "where", "code"),
    [
        ({"type": "rename", "from": "nam", "to": "x"}, "from", "unknown_column"),
        ({"type": "rename", "from": "name", "to": "id"}, "to", "column_exists"),
        ({"type": "drop", "fields": ["id", "nam"]}, "fields[1]", "unknown_column"),
        ({"type": "cast", "field": "nam", "to": "integer"}, "field", "unknown_column"),
        ({"type": "cast", "field": "price", "to": "date"}, "to", "impossible_cast"),
        ({"type": "expression", "field": "x", "expression": "amont + 1"}, "expression", "unknown_column"),
        ({"type": "expression", "field": "x", "expression": "id +"}, "expression", "invalid_expression"),
        ({"type": "expression", "field": "x", "expression": "nofunction(id)"}, "expression", "invalid_expression"),
        ({"type": "expression", "field": "x", "expression": "upper(price)"}, "expression", "invalid_expression"),
        ({"type": "expression", "field": "x", "expression": "id - sum(id)"}, "expression", "not_row_local"),
        ({"type": "expression", "field": "x", "expression": "count(*)"}, "expression", "not_row_local"),
        (
            {"type": "expression", "field": "x", "expression": "lag(id) over (order by id)"},
            "expression",
            "not_row_local",
        ),
        ({"type": "expression", "field": "x", "expression": "unnest(name)"}, "expression", "not_row_local"),
        (
            {"type": "expression", "field": "x", "expression": "(select a from read_csv('/etc/passwd'))"},
            "expression",
            "not_row_local",
        ),
        ({"type": "expression", "field": "x", "expression": "id in (values (1))"}, "expression", "not_row_local"),
        ({"type": "filter", "expression": "id + 1"}, "expression", "not_boolean"),
        ({"type": "add_field", "field": "id", "value": 1}, "field", "column_exists"),
        ({"type": "add_field", "field": "x", "value": "a", "dataType": "integer"}, "value", "invalid_value"),
    ],
)
def test_an_op_that_does_not_fit_is_reported(op: dict[str, Any], where: str, code: str) -> None:
    assert problems([op]) == [(f"nodes[1].ops[0].{where}", code)]


@pytest.mark.parametrize(
    ("field", "rule", "problem"),
    [
        ("nam", "not_null", ("field", "unknown_column")),
        ("id", "gt:abc", ("rule", "rule_arguments")),
        ("day", "gt:yesterday", ("rule", "rule_arguments")),
        ("id", "email", ("rule", "rule_type")),
        ("name", "regex:[", ("rule", "invalid_expression")),
        ("name", "expr:nam = 'x'", ("rule", "unknown_column")),
        ("name", "expr:id + 1", ("rule", "not_boolean")),
    ],
)
def test_a_rule_that_does_not_fit_is_reported(field: str, rule: str, problem: tuple[str, str]) -> None:
    where, code = problem
    assert problems(None, [{"field": field, "rule": rule}]) == [(f"nodes[1].rowLevel[0].{where}", code)]


def test_what_is_wrong_with_a_regular_expression_is_said() -> None:
    (problem,) = logical(None, [{"field": "name", "rule": "regex:(abc"}]).problems
    assert problem.message == "not a regular expression: unclosed group"


def test_a_misspelt_column_is_answered_with_the_nearest() -> None:
    (problem,) = logical([{"type": "expression", "field": "x", "expression": "amont || '!'"}]).problems
    assert problem.message == "There is no column 'amont' here"
    assert problem.hint == "did you mean 'amount'?"


def test_one_mistake_is_reported_once_and_later_ones_too() -> None:
    ops = [
        {"type": "expression", "field": "x", "expression": "amont + 1"},
        {"type": "filter", "expression": "x > 1"},
        {"type": "rename", "from": "nam", "to": "y"},
    ]
    assert problems(ops) == [
        ("nodes[1].ops[0].expression", "unknown_column"),
        ("nodes[1].ops[2].from", "unknown_column"),
    ]


def test_a_table_that_needs_what_the_data_lack_is_reported() -> None:
    table = [TargetColumn(Field("id", "bigint")), TargetColumn(Field("region", "text"), required=True)]
    assert problems(table=table) == [("nodes[1].schema", "required_column")]


def test_a_table_with_other_columns_altogether_is_reported() -> None:
    assert problems(table=[TargetColumn(Field("zzz", "text"))]) == [("nodes[1].schema", "no_common_column")]


def test_a_mapping_of_what_is_not_there_is_reported() -> None:
    assert problems(mapping={"nope": "id"}) == [("nodes[1].mapping.nope", "unknown_column")]
    assert problems(mapping={"id": "nope"}) == [("nodes[1].mapping.id", "unknown_column")]


@pytest.mark.parametrize(
    "sql", ["cast(name as timestamp with time zone) is null", "name <> 'select x'", "\"name\" = 'Len'"]
)
def test_words_of_queries_inside_names_and_texts_are_no_queries(sql: str) -> None:
    assert problems([{"type": "filter", "expression": sql}]) == []


def test_a_format_that_cannot_be_used_is_reported() -> None:
    op = {"type": "cast", "field": "name", "to": "date", "format": "%H"}
    assert problems([op]) == [("nodes[1].ops[0].to", "impossible_cast")]


def test_no_more_is_looked_for_than_is_reported() -> None:
    drops = [{"type": "drop", "fields": [f"q{number}"]} for number in range(1_000)]
    assert len(problems(ops=drops)) == MAX_PROBLEMS
