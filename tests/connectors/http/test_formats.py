"""Records in XML are those that a file of the format has."""

from __future__ import annotations

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.http.settings import problems
from tests.connectors.http.api_server import ApiServer
from tests.connectors.http.opening import source
from tests.connectors.reading import rows

PAGE = """<?xml version="1.0"?>
<feed xmlns="urn:x"><total>3</total><orders>
<order id="{a}"><amount>1.10</amount><note/><item><sku>a</sku></item><item><sku>b</sku></item></order>
<order id="{b}"><amount>12345678901234567890.5</amount><note>é &amp; &lt;</note></order>
</orders></feed>"""
SETTINGS = {
    "path": "/orders",
    "format": "xml",
    "records": "orders/order",
    "pagination": {"type": "page", "param": "page"},
    "key": ["@id"],
}


def serve(api: ApiServer, *pages: str) -> None:
    empty = "<feed><orders/></feed>"
    api.pages["/orders"] = lambda asked: (
        200,
        {"Content-Type": "application/xml"},
        (dict(enumerate(pages, 1)).get(int(asked.query["page"]), empty)).encode(),
    )


def test_pages_of_xml_are_read_to_the_empty_one(api: ApiServer) -> None:
    serve(api, PAGE.format(a=1, b=2), PAGE.format(a=3, b=4))
    found = source(api, SETTINGS)
    assert [each.name for each in found.discover(max_partitions=1).schema] == ["@id", "amount", "note", "item"]
    read = rows(found)
    assert [row[0] for row in read] == ["1", "2", "3", "4"]
    assert read[0][1:] == ("1.10", None, '[{"sku":"a"},{"sku":"b"}]')
    assert read[1][1:] == ("12345678901234567890.5", "é & <", None)
    assert api.asked[0].headers["Accept"].startswith("application/xml")


def test_numbers_are_exact_where_their_type_is_described(api: ApiServer) -> None:
    serve(api, PAGE.format(a=1, b=2))
    read = rows(source(api, {**SETTINGS, "fields": {"@id": "bigint", "amount": "decimal(38,4)"}}))
    assert [(row[0], str(row[1])) for row in read] == [(1, "1.1000"), (2, "12345678901234567890.5000")]


def test_a_shape_without_the_records_place_is_drift(api: ApiServer) -> None:
    serve(api, "<feed><problems/></feed>")
    with pytest.raises(SourceError, match="no element 'orders'") as refused:
        rows(source(api, SETTINGS))
    assert (refused.value.code, "GET" in str(refused.value)) == ("drift", True)


@pytest.mark.parametrize(
    "body", ["{}", "<feed><orders>", '<!DOCTYPE a [<!ENTITY b "c">]><feed><orders><order>&b;</order></orders></feed>']
)
def test_what_is_no_xml_or_declares_entities_is_reported(api: ApiServer, body: str) -> None:
    serve(api, body)
    with pytest.raises(SourceError) as refused:
        rows(source(api, SETTINGS))
    assert refused.value.code == "bad_page"


def test_xml_needs_the_element_of_a_record_and_knows_no_paths() -> None:
    assert [each.code for each in problems({"path": "/a", "format": "xml"})] == ["missing_field"]
    paged = {**SETTINGS, "pagination": {"type": "cursor", "param": "at", "next": "next"}}
    assert [each.code for each in problems(paged)] == ["bad_option"]
