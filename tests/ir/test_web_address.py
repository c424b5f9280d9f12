"""Valid addresses in documents are usable in requests; invalid ones are reported when the document is saved."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.network.web_address import WebAddress
from headrace.ir import parse_ir
from headrace.ir.secrets import credential_problems
from headrace.ir.web_address import is_host, is_web_address
from tests.ir.enriching import document

NO_ADDRESS = [
    "https://host:b/x",
    "https://host:/x",
    "https://host:0/x",
    "https://host:65536/x",
    "https://[::/x",
    "https://[::::]/x",
    "https://[1.2.3.4]/x",
    "https://::1/x",
    "https://999.1.1.1/x",
    "https://1234567/x",
    "https://a]b/x",
    "https://me:pw@host/x",
    "https:///x",
    "https://host/\x7f",
    "https://host/a b",
    "https://host/#a",
    "ftp://host/x",
]
ADDRESSES = [
    "http://a",
    "https://a.b-c_d.:65535/x?y=ü",
    "https://[::1]:8443?q",
    "https://[::ffff:1.2.3.4]/",
    "http://127.0.0.1:80/",
]


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_is_no_address_is_a_problem_of_the_document(url: str) -> None:
    (problem,) = parse_ir(document("http", {"url": f"{url}{{a}}"})).problems
    assert (problem.path, problem.code) == ("nodes[1].config.url", "invalid_url")
    raw = document()
    raw["nodes"][-1]["preHook"] = [{"type": "webhook", "url": url}]
    assert {problem.path for problem in parse_ir(raw).problems} == {"nodes[2].preHook[0].url"}


@pytest.mark.parametrize("url", ADDRESSES)
def test_what_is_one_is_taken(url: str) -> None:
    assert is_web_address(url)
    assert WebAddress.of(url).port


@given(
    st.sampled_from(["http://", "https://"]),
    st.text("1a:.[]-_", min_size=1, max_size=12),
    st.text("/?:1é\x00\x7f %{", max_size=4),
)
def test_no_address_that_is_taken_is_refused_by_the_client(scheme: str, place: str, rest: str) -> None:
    if is_web_address(scheme + place + rest):
        assert WebAddress.of(scheme + place + rest).host
    if is_host(place):
        assert httpx.URL(scheme + place).raw_host


@pytest.mark.parametrize("host", ["999.1.1.1", "a:99999", "[::::]", "a/b", "ftp://a"])
def test_a_key_is_bound_to_hosts_that_exist(host: str) -> None:
    (problem,) = credential_problems({"enrichKey": {"value": "k", "hosts": [host]}})
    assert problem.code == "unbound_key"
    assert credential_problems({"enrichKey": {"value": "k", "hosts": ["http://a:80", "[::1]:1", "b.c"]}}) == []
