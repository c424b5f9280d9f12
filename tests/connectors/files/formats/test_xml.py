"""XML by row elements: texts unchanged, repeated or nested elements as JSON, no external entities, reports of
damage."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.batch_size import BATCH_BYTES
from headrace.connectors.files.formats.xml import Xml
from headrace.ir.schema import Field
from tests.connectors.files.formats.reading import check_resuming, never_panics, refused, rows, source, texts
from tests.effort import examples

ROW = {"row": "o"}


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "data.xml").write_bytes(text.encode(encoding))
    return folder / "data.xml"


def test_attributes_and_children_are_columns(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "<?xml version='1.0' encoding='iso-8859-1'?><r xmlns='urn:x' xmlns:i='http://www.w3.org/2001/XMLSchema-instance'>"
        "<head/><o id='7'><name>é &amp; <![CDATA[<b>]]></name><qty>0012</qty><e/><n i:nil='true'/></o>"
        "<!-- o --><o id='8'><item k='1'>x</item><item>y</item><o><name>z</name></o><a><c>1.50</c></a></o><o>t</o></r>",
        "latin-1",
    )
    names = ("@id", "name", "qty", "e", "n", "item", "o", "a", "#text")
    assert rows(source(path, *texts(*names), options=ROW)) == [
        ("7", "é & <b>", "0012", None, None, None, None, None, None),
        ("8", None, None, None, None, '[{"@k":"1","#text":"x"},"y"]', '{"name":"z"}', '{"c":"1.50"}', None),
        (None, None, None, None, None, None, None, None, "t"),
    ]
    found = source(path, options=ROW).discover(max_partitions=1)
    assert {field.name: field.data_type for field in found.schema}["item"] == "json"


def test_a_row_may_be_reported_by_the_end_of_its_path(tmp_path: Path) -> None:
    path = written(tmp_path, "<r><a><o><v>1</v></o></a><b><o><v>2</v></o></b></r>")
    assert rows(source(path, Field("v", "integer"), options={"row": "b/o"})) == [(2,)]


def test_a_read_goes_on_from_anywhere_also_in_compressed_files(tmp_path: Path) -> None:
    text = "<r>" + "".join(f"<o><v>{n}</v></o>" for n in range(100)) + "</r>"
    (tmp_path / "data.xml.gz").write_bytes(gzip.compress(text.encode()))
    files = source(tmp_path / "data.xml.gz", Field("v", "integer"), formats={"xml": Xml(ROW, batch_rows=7)})
    assert rows(files) == [(n,) for n in range(100)]
    check_resuming(files, 2)


@pytest.mark.parametrize(
    ("text", "row", "code", "reported"),
    [
        ("", "o", "empty_file", "empty"),
        ("<r><o><v>1</v></o>", "o", "bad_xml", "not XML"),
        ("<r><o><v>1</w></o></r>", "o", "bad_xml", "mismatch"),
        ("<r><x><v>1</v></x></r>", "o", "no_rows", "It has: r, x, v"),
        ("id,v\n1,2\n", "o", "bad_xml", "not XML"),
    ],
)
def test_documents_that_cannot_be_read(tmp_path: Path, text: str, row: str, code: str, reported: str) -> None:
    error = refused(source(written(tmp_path, text), options={"row": row}))
    assert (error.code, reported in str(error), "data.xml" in str(error)) == (code, True, True)


def test_the_row_has_to_be_named(tmp_path: Path) -> None:
    assert "options.row" in str(refused(source(written(tmp_path, "<r><o/></r>"))))


TEXT = st.text(alphabet="ab<>&\"'é \n{}", max_size=6).map(str.strip)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=12))
def test_what_elementtree_writes_comes_back(table: list[tuple[str, str]]) -> None:
    root = ElementTree.Element("r")
    for a, b in table:
        row = ElementTree.SubElement(root, "o")
        ElementTree.SubElement(row, "a").text = a
        ElementTree.SubElement(row, "b").text = b
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), ElementTree.tostring(root, encoding="unicode"))
        read = rows(source(path, *texts("a", "b"), options=ROW))
        assert [(a or "", b or "") for a, b in read] == table


@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_damaged_files_are_errors_for_people(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), "<?xml version='1.0'?><r><o i='1'><a>1</a></o><o><a>2</a><a>3</a></o></r>")
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
            content[place] = data.draw(st.sampled_from(b"<>/&;'\"\0\xff a!?"))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        never_panics(path, options=ROW)


def test_wide_rows_are_given_few_at_a_time(tmp_path: Path) -> None:
    wide = "x" * 1_000_000
    path = written(tmp_path, "<r>" + "".join(f"<o><n>{n}</n><t>{wide}</t></o>" for n in range(60)) + "</r>")
    files = source(path, *texts("n", "t"), options=ROW)
    found = files.discover(max_partitions=1)
    batches = list(files.read(found.partitions[0], found.schema))
    assert max(batch.frame.estimated_size() for batch in batches) < 2 * BATCH_BYTES
    assert [n for batch in batches for n in batch.frame["n"]] == [str(n) for n in range(60)]
