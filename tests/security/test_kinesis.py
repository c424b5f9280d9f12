"""A data stream is reached where the egress rules allow it, encrypted where others could listen; the server's own role
is lent for what the operator names alone; nothing tells a credential."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.connector import KINESIS
from headrace.connectors.kinesis.login import access
from headrace.connectors.kinesis.settings import problems
from headrace.connectors.kinesis.source import KinesisSource
from headrace.connectors.source import Partition
from headrace.ir.schema import Field
from tests.connectors.kafka.tls_front import TlsFront
from tests.connectors.kinesis.conftest import front, moto
from tests.connectors.kinesis.streams import KEY, REGION, SECRET, Front, Streams
from tests.connectors.sql.postgresql.shop import Certificates, certificates
from tests.connectors.stores.emulators import free_port

__all__ = ["certificates", "front", "moto"]
ID = (Field("id", "integer"),)
ROLE = "arn:aws:iam::123456789012:role/reader"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.connectors.kinesis.connector._CHECK_SECONDS", 0.1)


def refusal(found: Context) -> SourceError:
    with pytest.raises(SourceError) as refused:
        KINESIS.tried(found)
    assert SECRET not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("http://10.0.0.1:4567", "address_refused"),
        ("http://169.254.169.254", "address_refused"),
        ("http://[::1]:4567", "address_refused"),
        ("http://1.1.1.1", "insecure"),
        ("https://user:word@127.0.0.1", "bad_url"),
        ("https://2130706433", "bad_host"),
    ],
)
def test_only_what_may_be_reached_is_dialled(moto: Streams, endpoint: str, code: str) -> None:
    assert refusal(moto.context({}, endpoint=endpoint)).code == code
    with pytest.raises(SourceError) as refused:
        KinesisSource(moto.context({"streamName": "s"}, fields=ID, endpoint=endpoint)).discover(max_partitions=1)
    assert refused.value.code == code


def test_the_servers_own_network_is_not_dialled_by_a_reader_in_another_process(moto: Streams) -> None:
    layout = {"fields": [["id", "integer", None, None, None]], "keys": {}, "closed": False, "schema": None}
    location = {"shard": "shardId-0", "start": {}, "now": 0, "closed": False, "hashes": ["0", "1"], "layout": layout}
    source = KinesisSource(moto.context({"streamName": "s"}, fields=ID, networks=()))
    with pytest.raises(SourceError) as refused:
        list(source.read(Partition(0, 1, 0, location, counted=False), ID))
    assert refused.value.code == "address_refused"


def test_a_region_is_not_another_host(moto: Streams) -> None:
    for region in ("evil.example.org/", "eu-central-1.evil.example.org", "x@evil", "EU", "../x"):
        error = refusal(moto.context({}, region=region, endpoint=None))
        assert (error.code, "region" in error.message) == ("bad_option", True), region


def test_redirects_are_not_followed_and_the_login_goes_nowhere_else(moto: Streams, front: Front) -> None:
    front.faults += [("DescribeStreamSummary", 307, {"__type": "Moved"})]
    assert refusal(moto.context({})).code == "refused"
    front.faults += [("DescribeStreamSummary", 200, ["no", "Kinesis"])]
    assert refusal(moto.context({})).code == "not_readable"


def test_an_answer_without_end_is_not_kept(moto: Streams, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.connectors.kinesis.service._MOST_BYTES", 1000)
    front.faults += [("DescribeStreamSummary", 200, "x" * 5000)]
    assert refusal(moto.context({})).code == "too_large"


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("UnrecognizedClientException", "bad_credentials"),
        ("InvalidSignatureException", "bad_credentials"),
        ("ExpiredTokenException", "bad_credentials"),
        ("AccessDeniedException", "not_permitted"),
        ("ResourceNotFoundException", "unknown_stream"),
        ("LimitExceededException", "throttled"),
    ],
)
def test_a_refusal_says_the_remedy(moto: Streams, front: Front, code: str, ours: str) -> None:
    front.faults += [("DescribeStreamSummary", 400, {"__type": code, "message": f"of {SECRET}"})] * 5
    error = refusal(moto.context({}))
    assert error.code == ours
    assert error.hint
    front.faults.clear()


def test_the_right_to_read_is_tried_too(moto: Streams, front: Front) -> None:
    front.refuse("GetShardIterator", "AccessDeniedException")
    assert refusal(moto.context({}, streamName=moto.make())).code == "not_permitted"


def test_a_host_that_is_not_there_is_told_at_once(moto: Streams) -> None:
    refused = refusal(moto.context({}, endpoint=f"http://127.0.0.1:{free_port()}"))
    assert (refused.code, "refused" in refused.message.lower()) == ("connection_failed", True)
    assert refusal(moto.context({}, endpoint="https://nobody.invalid")).code == "unknown_host"


def test_the_certificate_has_to_be_of_the_host(moto: Streams, front: Front, certificates: Certificates) -> None:
    """Also in a network that the operator allows: the bundle of the system knows no authority of the tests."""
    with closing(TlsFront(*certificates.server)) as tls:
        tls.to = front.port
        error = refusal(moto.context({}, endpoint=f"https://127.0.0.1:{tls.port}"))
    assert error.code == "connection_failed"
    assert "certificate" in error.message.lower()
    assert "certificate of its host" in error.hint
    assert not front.asked


def test_a_key_has_two_parts(moto: Streams) -> None:
    for given in ({"accessKeyId": "k"}, {"secretAccessKey": SECRET}):
        assert refusal(moto.context({}, credentials=given)).code == "bad_credentials"
    assert SECRET not in repr(access(moto.context({}, credentials=KEY)))


def own_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OWNROLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the server")


def test_the_servers_own_role_is_lent_for_what_the_operator_names(
    moto: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_role(monkeypatch)
    lent = (f"kinesis:{REGION}/orders", "orders", ROLE)

    def code(settings: dict[str, Any], lent: Any, credentials: Any = None, **config: Any) -> str:
        place = {"streamName": "orders", "endpoint": None, **config}
        try:
            access(moto.context(settings, credentials=credentials or {}, lent=lent, **place))
        except SourceError as error:
            return error.code
        return ""

    assert code({}, ()) == "bad_credentials"
    assert code({}, ("orders",)) == "bad_credentials"  # a bucket
    assert code({}, lent) == ""
    assert code({"streamName": "others"}, lent) == "bad_credentials"
    assert code({}, lent, region="eu-central-1") == "bad_credentials"
    assert code({}, lent, endpoint=moto.url) == "bad_option"
    assert code({}, lent, {"roleArn": ROLE}) == ""
    assert code({}, lent, {"roleArn": ROLE}, stsEndpoint=moto.url) == "bad_option"
    assert code({}, lent, {"roleArn": ROLE.replace("reader", "admin")}) == "bad_credentials"
    assert code({}, (), {"roleArn": ROLE}) == "bad_credentials"


def test_the_servers_own_role_signs_where_it_is_lent(
    moto: Streams, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_role(monkeypatch)
    name = moto.make()
    found = moto.context({}, credentials={}, lent=(f"kinesis:{REGION}/{name}",), endpoint=None, streamName=name)
    monkeypatch.setattr("headrace.connectors.kinesis.login.api_of", lambda *_: moto.url)  # instead of Amazon
    front.asked.clear()
    KINESIS.tried(found)
    assert all("Credential=OWNROLE/" in signed for _, signed in front.asked)


def test_a_key_of_the_connector_is_all_that_signs(moto: Streams, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a token, a profile or a proxy of the server's."""
    own_role(monkeypatch)
    for name, value in (("AWS_SESSION_TOKEN", "t"), ("AWS_PROFILE", "p"), ("HTTP_PROXY", "http://127.0.0.1:1")):
        monkeypatch.setenv(name, value)
    found = moto.context({}, streamName=moto.make())
    front.asked.clear()
    KINESIS.tried(found)
    assert all("Credential=reader/" in signed for _, signed in front.asked)
    assert all("security-token" not in signed for _, signed in front.asked)


def test_a_role_is_taken_on_and_its_keys_sign(moto: Streams, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    own_role(monkeypatch)
    login = {**KEY, "roleArn": ROLE, "externalId": "between us"}
    found = moto.context({}, credentials=login, streamName=moto.make(), stsEndpoint=moto.url)
    front.asked.clear()
    KINESIS.tried(found)
    first, *others = front.asked
    assert (first[0], "Credential=reader/" in first[1], "/sts/" in first[1]) == ("", True, True)
    assert others
    assert all("Credential=ASIA" in signed and "x-amz-security-token" in signed for _, signed in others)
    front.refuse("DescribeStreamSummary", "ExpiredTokenException")
    KINESIS.tried(found)  # its keys are asked for anew
    where = moto.context({}, credentials=login, streamName="s", stsEndpoint="http://169.254.169.254")
    assert refusal(where).code == "address_refused"


def test_no_setting_of_a_node_is_an_address(moto: Streams) -> None:
    for name in ("endpoint", "endpointUrl", "region", "roleArn", "profile"):
        assert problems({"streamName": "s", name: "http://169.254.169.254/"})[0].code == "unknown_field"
    for stream in ("a/b", "arn:aws:kinesis:x", "a b", "x" * 129):
        assert problems({"streamName": stream})
