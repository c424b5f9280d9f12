"""Payloads are decoded by their format; a broken one never affects another."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.messages.formats import Layout, check_options, layout, payloads
from headrace.connectors.messages.messages import Decoded
from headrace.connectors.messages.settings import MessageSettings
from headrace.ir.schema import Field, Schema

SCHEMA = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    ],
}


def decoded(values: list[bytes], fields: Schema = (), registry: Any = None, **given: Any) -> Decoded:
    chosen = MessageSettings.model_validate(given)
    check_options(chosen)
    found = layout(chosen, fields, lambda: values, registry, "t")
    assert found is not None
    return payloads(chosen, found, found.fields, registry).decode(values)


def avro(record: dict[str, Any], schema: Any = SCHEMA) -> bytes:
    made = io.BytesIO()
    fastavro.schemaless_writer(made, fastavro.parse_schema(schema), record)
    return made.getvalue()


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


@given(
    st.lists(st.one_of(st.dictionaries(st.sampled_from(["a", "b", "ü\n"]), TEXTS), st.binary(max_size=6)), max_size=30)
)
@settings(max_examples=150, deadline=None)
def test_json_gives_every_object_and_faults_everything_else(things: list[Any]) -> None:
    values = [each if isinstance(each, bytes) else json.dumps(each, indent=1).encode() for each in things]
    fields = tuple(Field(name, "text") for name in ("a", "b", "ü\n"))
    found = payloads(MessageSettings(), Layout(fields), fields, None).decode(values)

    def objects() -> Any:
        for place, value in enumerate(values):
            try:
                one = json.loads(value.decode())
            except ValueError:
                continue
            if isinstance(one, dict):
                yield place, one

    expected = list(objects())
    assert found.sound.tolist() == [place for place, _ in expected]
    assert found.raw.rows() == [tuple(one.get(field.name) for field in fields) for _, one in expected]
    assert sorted([*found.sound.tolist(), *(each.row for each in found.faults)]) == list(range(len(values)))


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.none() | TEXTS), max_size=20), st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_avro_record_takes_nothing_of_the_next(records: list[tuple[int, str | None]], data: Any) -> None:
    from decimal import Decimal

    good = [avro({"id": number, "name": name, "amount": Decimal("1.25")}) for number, name in records]
    values = list(good)
    cut = data.draw(st.sets(st.integers(0, max(0, len(good) - 1)), max_size=3)) if good else set()
    for place in cut:
        values[place] = data.draw(st.sampled_from([good[place][:-1], good[place] + b"\x00", b"", b"\xff" * 12]))
    found = decoded(values, format="avro", options={"schema": SCHEMA})
    whole = [place for place in range(len(values)) if place not in cut]
    assert found.sound.tolist() == whole
    assert found.raw.rows() == [(*records[place], Decimal("1.25")) for place in whole]
    assert {each.row for each in found.faults} == cut


class Registry:
    """Schemas by their ids."""

    def __init__(self, *schemas: Any) -> None:
        self.schemas = schemas

    def schema(self, number: int) -> Any:
        return json.dumps(self.schemas[number])

    def latest(self, topic: str) -> Any:
        del topic
        return json.dumps(self.schemas[-1])


def test_records_of_older_schemas_have_the_defaults_of_the_newest() -> None:
    old = {"type": "record", "name": "o", "fields": [{"name": "id", "type": "long"}]}
    new = {
        "type": "record",
        "name": "o",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "state", "type": "string", "default": "open"},
            {"name": "note", "type": ["null", "string"], "default": None},
        ],
    }
    values = [
        b"\0\0\0\0\1" + avro({"id": 1, "state": "shut", "note": "x"}, new),
        b"\0\0\0\0\0" + avro({"id": 2}, old),
        b"\1nothing",
        b"\0\0\0\0\1" + avro({"id": 3, "state": "open", "note": None}, new),
    ]
    found = decoded(values, registry=Registry(old, new), format="avro", options={"registry": True})
    assert found.raw.rows() == [(1, "shut", "x"), (2, "open", None), (3, "open", None)]
    assert found.sound.tolist() == [0, 1, 3]
    assert [(each.row, each.rule) for each in found.faults] == [(2, "avro")]


def test_an_older_schema_with_a_field_that_is_gone_is_not_dropped_in_silence() -> None:
    old = {"type": "record", "name": "o", "fields": [{"name": "id", "type": "long"}, {"name": "x", "type": "int"}]}
    new = {"type": "record", "name": "o", "fields": [{"name": "id", "type": "long"}]}
    values = [b"\0\0\0\0\1" + avro({"id": 1}, new), b"\0\0\0\0\0" + avro({"id": 2, "x": 1}, old)]
    found = decoded(values, registry=Registry(old, new), format="avro", options={"registry": True})
    assert [(each.row, each.rule) for each in found.faults] == [(1, "unknown_key")]
    fields = (Field("id", "bigint"),)
    assert decoded(values, fields, Registry(old, new), format="avro", options={"registry": True}).raw.rows() == [
        (1,),
        (2,),
    ]


def test_registered_json_loses_its_five_bytes_and_nothing_else() -> None:
    values = [b'\0\0\0\0\7{"a": 1}', b'{"a": 2}', b"\0\0", b'\0\0\0\0\1{"a": 3}']
    found = decoded(values, registry=Registry(), options={"registry": True})
    assert found.raw.rows() == [("1",), ("3",)]
    assert [each.row for each in found.faults] == [1, 2]


def test_lines_of_a_message_are_rows_of_it() -> None:
    values = [b'{"a": 1}\n{"a": 2}\n', b"\n", b'{"a": 3}\r\n\n{"a"\n{"a": 4}']
    found = decoded(values, format="jsonl")
    assert found.raw.rows() == [("1",), ("2",), ("3",), ("4",)]
    assert found.of.tolist() == [0, 0, 1, 2, 2, 2]
    assert found.sound.tolist() == [0, 1, 3, 5]
    assert sorted(each.row for each in found.faults) == [2, 4]


def test_a_csv_record_that_leaves_a_quote_open_does_not_swallow_the_next() -> None:
    fields = (Field("a", "text"), Field("b", "text"))
    values = [b'1,"x, y"', b'2,"open', b"3", b'4,"a""b"\n5,', b"", b"6,x,y", b'7,"z"\r\n']
    found = decoded(values, fields, format="csv")
    assert found.raw.rows() == [("1", "x, y"), ("4", 'a"b'), ("5", None), ("7", "z")]
    assert found.of.tolist() == [0, 1, 2, 3, 3, 4, 5, 6]
    assert found.sound.tolist() == [0, 3, 4, 7]
    assert sorted(each.row for each in found.faults) == [1, 2, 5, 6]


@given(st.lists(st.binary(max_size=8), max_size=30))
@settings(max_examples=100, deadline=None)
def test_raw_payloads_are_texts_or_base64(values: list[bytes]) -> None:
    import base64

    found = decoded(values, format="raw")
    texts = {}
    for place, value in enumerate(values):
        try:
            texts[place] = value.decode()
        except UnicodeDecodeError:
            continue
    assert found.raw.to_series().to_list() == list(texts.values())
    assert found.sound.tolist() == list(texts)
    coded = decoded(values, format="raw", options={"encoding": "base64"})
    assert coded.raw.to_series().to_list() == [base64.b64encode(value).decode() for value in values]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"options": {"delimiter": ";"}}, "Unknown option 'delimiter' of json messages"),
        ({"format": "avro"}, "need a schema"),
        ({"format": "avro", "options": {"schema": '"string"'}}, "not that of a record"),
        ({"format": "avro", "options": {"schema": "{"}}, "not that of a record"),
        ({"format": "csv", "options": {"columns": "a,b"}}, "options.columns"),
        ({"format": "csv", "options": {"quote": "''"}}, "options.quote"),
        ({"format": "raw", "options": {"encoding": "utf-16"}}, "utf-8 or base64"),
        ({"tombstones": "delete"}, "need the key's columns"),
        ({"key": {"columns": ["a", "b"]}}, "one column"),
    ],
)
def test_what_cannot_be_is_reported_before_anything_is_read(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        check_options(MessageSettings.model_validate(given))


def test_a_payload_is_never_asked_for_more_than_it_has() -> None:
    assert decoded([b'{"a": 1}']).raw.schema == {"a": pl.String}
    assert decoded([b'{"a": 1}']).sound.dtype == np.int64
