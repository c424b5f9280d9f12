"""No spelling of an internal address is accepted: the egress rules, and all clients that use them."""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import METADATA, allowed_addresses, is_allowed
from headrace.connectors.network.web_address import WebAddress
from headrace.flows.enrich import ProviderAccess
from headrace.flows.enrich.client import ProviderClient
from headrace.flows.enrich.provider import Request
from headrace.flows.runtime.hooks.base import HookError
from headrace.flows.runtime.hooks.webhook import run_webhook
from headrace.ir import parse_ir
from headrace.ir.hooks import WebhookHook
from headrace.ir.providers import HttpConfig
from tests.effort import examples
from tests.flows.enrich.stranger import LOOPBACK, Said, stranger
from tests.flows.pipelines import document
from tests.flows.runtime.hooks.receiving import CONTEXT, Receiver, means, receiver  # noqa: F401

INSIDE = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
]
PRIVATE = [ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fd00::/8")]
EVERYTHING = [ip_network("0.0.0.0/0"), ip_network("::/0")]


@st.composite
def inside(draw: Any) -> IPv4Address:
    network = ip_network(draw(st.sampled_from(INSIDE)))
    return IPv4Address(int(network[0]) + draw(st.integers(0, network.num_addresses - 1)))


def numeric(address: IPv4Address) -> list[str]:
    """What inet_aton reads as the address, in every number of parts and every base."""
    a, b, c, d = address.packed
    spelled = []
    for parts in ([a, b, c, d], [a, b, c << 8 | d], [a, b << 16 | c << 8 | d], [int(address)]):
        for write in (str, lambda n: f"{n:#x}", lambda n: f"{n:#X}", lambda n: f"0{n:o}", lambda n: f"0x{n:010x}"):
            text = ".".join(write(part) for part in parts)
            spelled += [text, f"{text}."]
    return spelled


def wrapped(address: IPv4Address) -> list[str]:
    """IPv6 addresses that lead to an IPv4 one."""
    number = int(address)
    words = f"{number >> 16:x}:{number & 0xFFFF:x}"
    client = number ^ 0xFFFFFFFF
    return [
        f"::{address}",
        f"::ffff:{address}",
        f"::ffff:{words}",
        f"0:0:0:0:0:ffff:{words}",
        f"::ffff:0:{address}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{address}",
        "64:ff9b:1:7f00:0:100::",
        f"2002:{words}::1",
        f"2001:0:{words}::",
        f"2001:0:102:304::{client >> 16:x}:{client & 0xFFFF:x}",
        f"2600:1234::5efe:{address}",
        f"2600:1234::200:5efe:{address}",
        f"fe80::5efe:{address}",
    ]


def refused(host: str, networks: Any = ()) -> str:
    with pytest.raises(SourceError) as caught:
        allowed_addresses(host, 443, networks)
    return caught.value.code


@settings(max_examples=examples(100))
@given(address=inside())
def test_no_spelling_of_an_address_inside_is_dialled(address: IPv4Address) -> None:
    assert refused(str(address)) == "address_refused"
    for host in numeric(address):
        if host != str(address):
            assert refused(host) == "bad_host", host
    for host in wrapped(address):
        assert refused(host) == "address_refused", host
        assert refused(f"[{host}]") == "address_refused", host
        assert refused(f"{host}%eth0") == "bad_host", host
        assert refused(f"[{host}%25eth0]") == "bad_host", host


@settings(max_examples=examples(100))
@given(address=st.sampled_from(sorted(METADATA, key=str)))
def test_metadata_is_not_in_any_network_of_the_operators(address: Any) -> None:
    for networks in (
        (),
        PRIVATE,
        EVERYTHING,
        [ip_network((int(address) & ~1, address.max_prefixlen - 1))] if 0 else [],
    ):
        assert not is_allowed(address, networks)
    spelled = wrapped(address) if isinstance(address, IPv4Address) else []
    for host in spelled:
        assert not is_allowed(ip_address(host), [*PRIVATE, *EVERYTHING]), host
    assert is_allowed(address, [ip_network(str(address))])
    assert is_allowed(address, [*PRIVATE, ip_network(str(address))])


@settings(max_examples=examples(200))
@given(number=st.integers(0, 2**128 - 1))
def test_of_ipv6_only_global_unicast_is_public(number: int) -> None:
    address = IPv6Address(number)
    if is_allowed(address, []):
        assert address in ip_network("2000::/3")
        assert address.is_global


@pytest.mark.parametrize(
    "host",
    [
        *("::1", "::", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "100::1", "3fff::1"),
        *(
            "2001:db8::1",
            "5f00::1",
            "4000::1",
            "[::1]",
            "0:0:0:0:0:0:0:1",
            "192.88.99.1",
            "192.0.0.9",
            "255.255.255.255",
        ),
    ],
)
def test_other_special_addresses_are_not_dialled(host: str) -> None:
    assert refused(host) == "address_refused"


@pytest.mark.parametrize(
    "host",
    [
        *(
            "\uff11\uff12\uff17.0.0.1",
            "127\u30020\u30020\u30021",
            "\u2460\u2461\u2466.0.0.1",
            "\uff4cocalhost",
            "127.0.0.1\u200b",
            "loc\u00adalhost",
            "localhost\x00.a",
        ),
        *(
            "127.0.0.1:80",
            "a@127.0.0.1",
            "a b",
            "",
            ".",
            "..",
            "-",
            "a/b",
            "127.0.0.1#",
            "[::1",
            "::1]",
            "[127.0.0.1",
            "%00",
        ),
        *("0", "1", "0x", "0x7f", "00", "127.0.0.1.1", "a.1", "a.0x1", "999.999.999.999", "1.2.3", "a.b.08"),
    ],
)
def test_what_is_no_host_is_not_resolved(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it was resolved"))
    assert refused(host, EVERYTHING) == "bad_host"


@pytest.mark.parametrize("host", ["1.1.1.1", "2606:4700:4700::1111", "[2606:4700:4700::1111]"])
def test_public_addresses_are_dialled(host: str) -> None:
    assert allowed_addresses(host, 443, []) == [host.strip("[]")]


def resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A resolver with the given answers for names, one after the other; returns the requested names."""
    asked: list[str] = []
    real, left = socket.getaddrinfo, list(answers)

    def getaddrinfo(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        try:
            ipaddress.ip_address(name)
        except ValueError:
            asked.append(name)
            addresses = left.pop(0) if len(left) > 1 else left[0]
            return [found for each in addresses for found in real(each, port, *rest, **named)]
        return real(host, port, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("answer", [["1.1.1.1", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"], ["1.1.1.1", "::ffff:10.0.0.1"]])
def test_every_address_of_a_name_has_to_be_allowed(monkeypatch: pytest.MonkeyPatch, answer: list[str]) -> None:
    resolver(monkeypatch, answer)
    assert refused("rebind.example.org") == "address_refused"


def test_a_network_that_is_allowed_does_not_open_what_an_address_wraps() -> None:
    assert not is_allowed(ip_address("64:ff9b::7f00:1"), [ip_network("64:ff9b::/96")])
    assert is_allowed(ip_address("64:ff9b::101:101"), [ip_network("64:ff9b::/96")])
    assert is_allowed(ip_address("::ffff:10.1.2.3"), [ip_network("10.1.0.0/16")])
    assert not is_allowed(ip_address("::ffff:10.1.2.3"), [ip_network("::/0")])


def test_a_webhook_dials_the_address_that_was_checked_and_asks_for_its_name_once(
    monkeypatch: pytest.MonkeyPatch,
    receiver: Receiver,  # noqa: F811
) -> None:
    asked = resolver(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    url = receiver.url.replace("127.0.0.1", "rebind.example.org")
    run_webhook(WebhookHook(type="webhook", url=url), CONTEXT, means("127.0.0.1/32"))
    assert asked == ["rebind.example.org"]
    ((headers, _),) = receiver.got
    assert headers["Host"] == f"rebind.example.org:{receiver.port}"


def test_a_provider_is_dialled_at_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolver(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    with stranger(lambda _: Said({"ok": 1})) as there:
        config = HttpConfig(url=f"http://rebind.example.org:{there.port}/{{a}}")
        with ProviderClient(config, None, ProviderAccess(LOOPBACK)) as line:
            url = f"http://rebind.example.org:{there.port}/x"
            assert [line.ask(Request("GET", url)) for _ in range(3)] == [{"ok": 1}] * 3
        assert asked == ["rebind.example.org"]
        assert there.asked[0].headers["Host"] == f"rebind.example.org:{there.port}"


def test_redirects_are_not_followed_and_proxies_of_the_environment_not_used(
    monkeypatch: pytest.MonkeyPatch,
    receiver: Receiver,  # noqa: F811
) -> None:
    with stranger(lambda _: Said({})) as elsewhere:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, elsewhere.url)
        receiver.answers, receiver.location = [307], elsewhere.url
        with pytest.raises(HookError, match="answered 307"):
            run_webhook(WebhookHook(type="webhook", url=receiver.url), CONTEXT, means("127.0.0.0/8"))
        with stranger(lambda _: Said({"ok": 1})) as there:
            with ProviderClient(HttpConfig(url=f"{there.url}/{{a}}"), None, ProviderAccess(LOOPBACK)) as line:
                line.ask(Request("GET", f"{there.url}/x"))
            assert len(there.asked) == 1
        assert elsewhere.asked == []
    assert len(receiver.got) == 1


URLS = [
    *("ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "//example.org/", "example.org"),
    *("http://user@example.org/", "http://user:pw@example.org/", "http://1.1.1.1@127.0.0.1/", "http://@example.org/"),
    *("http://1.1.1.1\\@127.0.0.1/", "http://1.1.1.1\\.example.org/", "http:\\\\127.0.0.1/", "http://", "http:///x"),
    *(
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://exa\tmple.org/",
        "http://example.org\n/",
        "http://exämple.org/",
        "HTTP://\x00",
    ),
    *("http://example.org:99999/", "http://example.org:x/", "http://[::1/"),
]


@pytest.mark.parametrize("url", URLS)
def test_an_address_of_another_kind_is_none(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        WebAddress.of(url)
    assert caught.value.code == "bad_url"
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("url", URLS[:-3])
def test_documents_do_not_take_them_either(url: str) -> None:
    raw = document()
    raw["nodes"][-1]["postHook"] = {"type": "webhook", "url": url}
    assert [each.path for each in parse_ir(raw).problems] == ["nodes[1].postHook.url"]


def test_a_webhook_with_an_address_that_no_client_reads_fails_as_a_hook() -> None:
    hook = WebhookHook.model_construct(
        type="webhook", url="http://\uff11\uff12\uff17.0.0.1/", secret_ref=None, timeout_seconds=1
    )
    with pytest.raises(HookError, match="cannot be connected to"):
        run_webhook(hook, CONTEXT, means("127.0.0.0/8"))
