"""Connection strings: known options are used, all others are refused by name."""

from __future__ import annotations

import pytest

from headrace.connectors.mongodb.address import Address, BadAddress, address_of, host_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mongodb://a", Address((("a", 27017),), tls=False)),
        ("mongodb://a:1,[::1]:2,b/shop", Address((("a", 1), ("::1", 2), ("b", 27017)), database="shop", tls=False)),
        (
            "mongodb://me:p%40ss%2Fword@a/d%20b?tls=true&replicaSet=rs&authSource=admin",
            Address(
                (("a", 27017),),
                database="d b",
                tls=True,
                options={"replicaSet": "rs", "authSource": "admin"},
                username="me",
                password="p@ss/word",
            ),
        ),
        (
            "mongodb+srv://c.x.mongodb.net/?retryWrites=true&w=majority&appName=Cluster0",
            Address((("c.x.mongodb.net", 27017),), srv=True, tls=True),
        ),
        (
            "mongodb://a/?readPreference=secondary&maxStalenessSeconds=120&directConnection=false&SSL=false",
            Address(
                (("a", 27017),),
                tls=False,
                options={"readPreference": "secondary", "maxStalenessSeconds": 120, "directConnection": False},
            ),
        ),
    ],
)
def test_what_is_known(text: str, expected: Address) -> None:
    assert address_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "http://a", "mongodb://", "mongodb:///x", "mongodb://a b", "mongodb://a:0", "mongodb://a:99999"),
        *("mongodb://%2Ftmp%2Fmongodb-27017.sock", "mongodb:///tmp/x.sock", "mongodb://x.sock", "mongodb+srv://a,b/"),
        *("mongodb+srv://a:1/", "mongodb://a/?tlsInsecure=true", "mongodb://a/?tlsAllowInvalidCertificates=true"),
        *(
            "mongodb://a/?tlsCAFile=/etc/passwd",
            "mongodb://a/?tlsCertificateKeyFile=/root/.ssh/id",
            "mongodb://a/?tls=maybe",
        ),
        *("mongodb://a/?authMechanism=MONGODB-AWS", "mongodb://a/?authMechanism=GSSAPI", "mongodb://a/?proxyHost=b"),
        *(
            "mongodb://a/?authMechanismProperties=ENVIRONMENT:gcp",
            "mongodb://a/?readPreference=any",
            "mongodb://u:p@a@b/",
        ),
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(BadAddress):
        address_of(text)


def test_a_refusal_repeats_no_password() -> None:
    with pytest.raises(BadAddress) as error:
        address_of("mongodb://me:hunter2@a/?tlsInsecure=true")
    assert "hunter2" not in str(error.value) + error.value.hint


@pytest.mark.parametrize(("text", "expected"), [("a", ("a", 9)), (" a:5 ", ("a", 5)), ("[::1]", ("::1", 9))])
def test_a_host(text: str, expected: tuple[str, int]) -> None:
    assert host_of(text, 9) == expected
