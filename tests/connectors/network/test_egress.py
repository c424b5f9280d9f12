"""Which addresses a connector may dial."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import allowed_addresses


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111"])
def test_public_addresses_are_dialled(address: str) -> None:
    assert allowed_addresses(address, 443, []) == [address]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "239.1.1.1", "255.255.255.255", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_addresses_inside_are_refused_unless_their_network_is_allowed(address: str) -> None:
    with pytest.raises(SourceError) as refused:
        allowed_addresses(address, 443, [])
    assert refused.value.code == "address_refused"
    assert "HEADRACE_CONNECTOR_NETWORKS" in refused.value.hint
    assert allowed_addresses(address, 443, [ip_network(address)]) == [str(ip_address(address))]


def test_an_ipv6_form_of_an_allowed_ipv4_address_is_allowed() -> None:
    assert allowed_addresses("::ffff:10.1.2.3", 443, [ip_network("10.1.0.0/16")]) == [
        str(ip_address("::ffff:10.1.2.3"))
    ]
    with pytest.raises(SourceError):
        allowed_addresses("::ffff:10.2.0.1", 443, [ip_network("10.1.0.0/16")])


def test_a_name_is_evaluated_by_its_addresses() -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1|::1"):
        allowed_addresses("localhost", 443, [])
    with pytest.raises(SourceError, match="cannot be found"):
        allowed_addresses("no-such-host.invalid", 443, [])
