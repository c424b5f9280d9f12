"""Files and bodies that expand or that parsers read differently are refused with their place."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.requests.body import _duplicate_key
from headrace.deployments.cli.documents.json_format import read_json
from headrace.deployments.cli.documents.load import DocumentsInvalid, load_documents
from headrace.deployments.cli.documents.yaml_format import read_yaml
from headrace.deployments.cli.documents.yaml_limits import MAX_DEPTH, MAX_VALUES, ParseFault
from headrace.deployments.errors import HeadraceError
from headrace.ir.problems import Problem
from tests.api.conftest import Facade, error_of


def laughs(kind: str, levels: int = 12, each: int = 9) -> str:
    """A page that expands to 9¹² values."""
    if kind == "lists":
        inner = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * each)}]\n" for n in range(1, levels))
        return f"a0: &a0 [{', '.join(['x'] * each)}]\n{inner}"
    if kind == "objects":
        inner = "".join(
            f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(each))}}}\n" for n in range(1, levels)
        )
        return f"a0: &a0 {{k: v}}\n{inner}"
    if kind == "merges":
        inner = "".join(
            f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * each)}], k{n}: 1}}\n" for n in range(1, levels)
        )
        return f"a0: &a0 {{k: v}}\n{inner}"
    return f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]\n"  # characters


def faults(folder: Path, text: str, file: str = "all.yaml") -> list[Problem]:
    (folder / file).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DocumentsInvalid) as caught:
        load_documents([folder], {})
    return list(caught.value.problems)


@pytest.mark.parametrize("kind", ["lists", "objects", "merges", "characters"])
def test_aliases_are_counted_by_what_they_stand_for(tmp_path: Path, kind: str) -> None:
    began = time.monotonic()
    (problem,) = faults(tmp_path, laughs(kind))
    assert time.monotonic() - began < 30
    assert "With its aliases the document has more than" in problem.message
    assert problem.hint
    assert problem.path.startswith(f"{tmp_path}/all.yaml:")


def test_a_document_that_uses_anchors_as_they_are_meant_is_read() -> None:
    text = "base: &base {host: h, port: 5432}\none: {<<: *base, database: a}\ntwo: {<<: *base, database: b, port: 1}\n"
    [(value, _)] = read_yaml(text)
    assert value["one"] == {"host": "h", "port": 5432, "database": "a"}
    assert value["two"] == {"host": "h", "port": 1, "database": "b"}


AT = [
    ("a: 1\nx: &a [*a]", 2, "is inside the value it refers to"),
    ("a: 1\nx: &a {b: *a}", 2, "is inside the value it refers to"),
    ("a: 1\nb: *nope", 2, "undefined alias"),
    ("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "tag"),
    ("a: 1\nb: !!python/name:os.system", 2, "tag"),
    ("%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system x", 3, "tag"),
    ("a: 1\nb: !!binary aGk=", 2, "tag"),
    ("a: 1\nb: !!set {x}", 2, "tag"),
    ("a: 1\nb: !mine x", 2, "tag"),
    ("a: 1\nb: !!int '0x7f'", 2, "tag"),
    ("a: 1\n\nb: 1e999", 3, "too large"),
    ("a: 1\nb: -1e999", 2, "too large"),
    (f"a: 1\nb: {'9' * 5000}", 2, "digits"),
    ("a: 1\nb: 2\na: 3", 3, "'a' is given twice"),
    ('a: 1\nb: 2\n"a": 3', 3, "'a' is given twice"),
    ("1: a\n'1': b", 2, "'1' is given twice"),
    ("a: 1\n? [b]\n: c", 2, "A key is a text"),
    ("a: 1\nb: \x07", 2, "U+0007"),
    ("a: 1\nb: \x00", 2, "U+0000"),
    ('a: 1\nb: "\\ud800"', 2, "surrogate"),
    (f"a: 1\nb: {'[' * 100_000}", 2, "deeper"),
    (f"a: 1\nb:\n  {'- ' * 5000}x", 3, "deeper"),
    ("a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500)), MAX_DEPTH, "deeper"),
]


@pytest.mark.parametrize(("text", "line", "says"), AT, ids=[f"{n}-{each[2][:12]}" for n, each in enumerate(AT)])
def test_yaml_is_refused_at_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    (problem,) = faults(tmp_path, text)
    assert says in problem.message
    assert f"all.yaml:{line} (document 1)" in problem.path


def test_keys_are_texts_whatever_they_look_like() -> None:
    [(value, _)] = read_yaml("1: a\ntrue: b\nnull: c\n1.5: d\n'<<': e\n")
    assert value == {"1": "a", "true": "b", "null": "c", "1.5": "d", "<<": "e"}


JSON_AT = [
    ('{"a": 1,\n "a": 2}', 1, "'a' is given twice"),
    ('{"x": [\n {"a": 1, "b": {},\n "a": 2}]}', 2, "'a' is given twice"),
    ('{"a": 1, "\\u0061": 2}', 1, "'a' is given twice"),
    ('{"x":\n[NaN]}', 2, "NaN is not JSON"),
    ('{"x":\n[-Infinity]}', 2, "-Infinity is not JSON"),
    ('{"x":\n[1e999]}', 2, "too large"),
    (f'{{"x":\n[{"9" * 5000}]}}', 2, "digits"),
    ("[" * 100_000, 1, "deeper"),
    ('{"a":' * 100_000, 1, "deeper"),
    ('{"a": 1,\n}', 2, "double quotes"),
    ("{'a': 1}", 1, "double quotes"),
    ("// no\n{}", 1, "Expecting value"),
    ('{"a": "\x01"}', 1, "control character"),
]


@pytest.mark.parametrize(
    ("text", "line", "says"), JSON_AT, ids=[f"{n}-{each[2][:12]}" for n, each in enumerate(JSON_AT)]
)
def test_json_is_refused_at_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    (problem,) = faults(tmp_path, text, "all.json")
    assert says in problem.message
    assert f"all.json:{line} (document 1)" in problem.path


def test_half_a_character_in_json_is_refused() -> None:
    with pytest.raises(ParseFault, match="surrogate"):
        read_json('{"a": "\\ud800"}')
    assert read_json('{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5).map(repr), inner, max_size=4),
)


@given(value=_JSON, indent=st.none() | st.integers(0, 2))
def test_what_is_json_is_read_as_everybody_reads_it(value: Any, indent: int | None) -> None:
    assert read_json(json.dumps(value, indent=indent)) == value
    assert _duplicate_key(json.dumps(value).encode()) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("kind: schema\nname: ü\n".encode("utf-16"), "not UTF-8 (line 1)"),
        ("kind: schema\nname: ü\n".encode("utf-32"), "not UTF-8 (line 1)"),
        ("kind: schema\nname: ü\n".encode("latin-1"), "not UTF-8 (line 2)"),
        (b"a: \xed\xa0\x80\n", "not UTF-8 (line 1)"),
        (b"a: \xc0\xae\n", "not UTF-8 (line 1)"),
        (b"#" * (17 * 1024 * 1024), "larger than"),
    ],
)
@pytest.mark.parametrize("file", ["all.yaml", "all.json"])
def test_what_is_no_text_or_too_much_of_it_is_not_read(tmp_path: Path, file: str, content: bytes, says: str) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(HeadraceError, match="cannot be read") as caught:
        load_documents([tmp_path], {})
    assert says in str(caught.value)


def test_a_mark_of_byte_order_is_no_part_of_the_text(tmp_path: Path) -> None:
    for file, text in (("a.yaml", "kind: nope"), ("b.json", '{"kind": "nope"}')):
        (tmp_path / file).write_bytes(b"\xef\xbb\xbf" + text.encode())
    with pytest.raises(DocumentsInvalid) as caught:
        load_documents([tmp_path], {})
    assert [each.code for each in caught.value.problems] == ["unknown_kind"] * 2


def test_a_folder_is_not_searched_through_fifos(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    with pytest.raises(HeadraceError, match="There is no"):
        load_documents([tmp_path], {})


@pytest.mark.slow
def test_many_values_without_an_alias_are_counted_too() -> None:
    with pytest.raises(ParseFault, match="more than"):
        list(read_yaml(f"a: [{'1,' * (MAX_VALUES + 1)}]"))


@pytest.mark.postgres
@pytest.mark.parametrize(
    "body",
    [
        '{"name": "a", "type": "local_fs", "name": "b"}',
        '{"name": "a", "type": "local_fs", "config": {"host": "good", "h\\u006fst": "evil"}}',
        '{"type": "local_fs", "config": {"list": [{"a": 1, "a": 1}]}}',
        '{"config": {' + ",".join(f'"k{n}": 1' for n in range(50_000)) + ',"k49999": 2}}',
    ],
)
def test_a_body_that_says_something_twice_says_nothing(facade: Facade, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    for path in ("/api/v1/connectors", "/api/v1/connectors/test"):
        error = error_of(facade.editor.post(path, content=body, headers=headers), 400)
        assert [each["code"] for each in error["details"]] == ["duplicate_key"]
    assert facade.viewer.get("/api/v1/connectors").json()["data"] == []
