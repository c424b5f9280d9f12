"""Salesforce: objects by SOQL, in batches and by bulk query jobs, with each of its logins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.http.shipped.documents import shipped_documents
from headrace.connectors.registry import source_for
from headrace.connectors.source import Incremental
from tests.connectors.http.shipped.reading import context, read
from tests.connectors.http.shipped.records import Record, endpoint, moment, records
from tests.connectors.http.shipped.salesforce_service import Salesforce, salesforce
from tests.connectors.reading import batches

CLIENT = {"clientId": "app", "clientSecret": "s3cret"}
OBJECTS = {
    each["id"]: each["params"]["q"].split(" FROM ")[1].split()[0]
    for each in shipped_documents()["salesforce"]["endpoints"]
    if "fields" in each
}
BULK = {"object": "Account", "fields": "Id, Name, AnnualRevenue, NumberOfEmployees, SystemModstamp"}


@pytest.fixture
def org(monkeypatch: pytest.MonkeyPatch) -> Iterator[Salesforce]:
    monkeypatch.setattr("headrace.connectors.http.jobs.waited", lambda *given: None)
    with salesforce() as service:
        for stream, name in OBJECTS.items():
            service.objects[name] = changed(stream, 450)
        yield service


def changed(stream: str, count: int, *, begin: int = 1) -> list[Record]:
    made = records("salesforce", stream, count, begin=begin)
    kinds = endpoint("salesforce", stream)["fields"]
    for number, each in enumerate(made, begin):
        for name, kind in kinds.items():
            if kind == "timestamptz":
                each[name] = moment(number).replace("Z", ".000+0000")
            elif kind == "bigint":
                each[name] = number
    return made


def source(org: Salesforce, stream: str, credentials: dict[str, Any] | None = None, **settings: Any) -> Context:
    made = context(
        "salesforce", org, stream, credentials or CLIENT, instanceUrl=org.url, loginUrl="https://login.example"
    )
    return replace(made, settings={**made.settings, **settings})


@pytest.mark.parametrize("stream", ["accounts", *(pytest.param(s, marks=pytest.mark.slow) for s in OBJECTS)])
def test_an_object_is_read_and_again_what_changed(org: Salesforce, stream: str) -> None:
    org.throttle(4)
    first, position = read(source(org, stream))
    assert len({each["Id"] for each in first}) == len(first) == 450
    org.objects[OBJECTS[stream]] += changed(stream, 7, begin=451)
    org.expire()
    again, _ = read(source(org, stream), position)
    assert len(again) == 7


def test_a_bulk_job_is_read_and_again_what_changed(org: Salesforce) -> None:
    org.throttle(5)
    org.objects["Account"][3]["AnnualRevenue"] = ""
    first, position = read(source(org, "bulk_objects", arguments=BULK))
    assert len({each["Id"] for each in first}) == len(first) == 450
    assert (first[3]["AnnualRevenue"], first[4]["NumberOfEmployees"], first[4]["Name"]) == (None, 5, "text é")
    org.objects["Account"] += changed("accounts", 7, begin=451)
    assert len(read(source(org, "bulk_objects", arguments=BULK), position)[0]) == 7
    rows, _ = read(source(org, "bulk_query", arguments={"soql": "SELECT Id, Name FROM Contact"}))
    assert (len(rows), [*rows[0]][:2]) == (450, ["Id", "Name"])


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_run_that_was_broken_off_reads_on_in_the_results_of_its_job(org: Salesforce, stop: int) -> None:
    made = source(org, "bulk_objects", arguments=BULK)

    def opened(position: Any) -> list[Any]:
        found = source_for("salesforce", made)
        assert isinstance(found, Incremental)
        found.begin_at({})
        seen = found.discover(max_partitions=1)
        return batches(found, seen, seen.partitions[0], position=position, batch_rows=200)

    whole = opened(None)
    jobs = len(org.jobs)
    more = opened(whole[stop].position) if stop < len(whole) - 1 else []
    ids = [each for batch in [*whole[: stop + 1], *more] for each in batch.frame["Id"].to_list()]
    assert sorted(ids) == [f"id_{n:06}" for n in range(1, 451)]
    assert len(org.jobs) - jobs <= 1  # only the one that finds the columns
    if stop == 0:
        for path in [each for each in org.pages if "/jobs/query/" in each]:
            del org.pages[path]
        with pytest.raises(SourceError) as gone:
            list(_again(made, whole[0].position))
        assert gone.value.code == "job_gone"


def _again(made: Context, position: Any) -> Any:
    found = source_for("salesforce", replace(made, settings={**made.settings, "fields": {"Id": "text"}}))
    seen = found.discover(max_partitions=1)
    return batches(found, seen, seen.partitions[0], position=position)


def test_a_job_that_fails_says_why(org: Salesforce) -> None:
    org.fails = True
    with pytest.raises(SourceError, match="ended as Failed: INVALID_FIELD: No such column 'Nmae'") as failed:
        read(source(org, "bulk_query", arguments={"soql": "SELECT Nmae FROM Account"}))
    assert failed.value.code == "job_failed"


def test_results_whose_locator_was_lost_on_the_way_are_not_the_last(org: Salesforce) -> None:
    org.strips = True
    with pytest.raises(SourceError, match="it may not be the last page"):
        read(source(org, "bulk_query", arguments={"soql": "SELECT Id FROM Account"}))


def test_a_missing_or_unknown_argument_is_a_problem(org: Salesforce) -> None:
    with pytest.raises(SourceError, match="the endpoint needs 'soql'"):
        read(source(org, "query"))
    with pytest.raises(SourceError, match="there is no argument 'sql'"):
        read(source(org, "query", arguments={"sql": "SELECT Id FROM Account"}))


def test_each_login_is_used(org: Salesforce) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    org.public_key = key.public_key()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signed = {"clientId": "app", "username": "reader@example.org", "privateKey": pem}
    assert len(read(source(org, "users", signed))[0]) == 450
    assert len(read(source(org, "users", {**CLIENT, "refreshToken": "r-1"}))[0]) == 450
    assert "grant_type=refresh_token" in [each.body for each in org.asked if "oauth2" in each.path][-1]
    assert org.tokens is not None
    org.tokens.append("00D-own")
    assert len(read(source(org, "users", {"token": "00D-own"}))[0]) == 450
    with pytest.raises(SourceError, match="not an RSA key") as refused:
        read(source(org, "users", {**signed, "privateKey": "-----BEGIN abc"}))
    assert "BEGIN abc" not in refused.value.message
