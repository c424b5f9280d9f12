"""Credentials that reference blocks: the syntax, the field, and the permissions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.flows.prefect.block_references import BlockReference, references, resolved

BLOCKS: Mapping[str, Mapping[str, Any]] = {
    "secret/db": {"value": "hunter2"},
    "secret/login": {"value": {"user": "u", "tls": {"key": "k"}}},
    "aws-credentials/prod": {
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": "hunter2",
        "aws_session_token": None,
        "aws_client_parameters": {"verify": True},
    },
}
SECRETS = ("hunter2", "AKIA")


def read(reference: BlockReference) -> Mapping[str, Any]:
    return BLOCKS[f"{reference.type}/{reference.name}"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"password": "prefect://secret/db", "username": "u"}, {"password": "hunter2", "username": "u"}),
        ({"password": "prefect://secret/db/value"}, {"password": "hunter2"}),
        ({"key": "prefect://secret/login/tls.key"}, {"key": "k"}),
        ({"tls": {"keys": ["prefect://secret/db"]}}, {"tls": {"keys": ["hunter2"]}}),
        ({"id": "prefect://aws-credentials/prod/aws_access_key_id"}, {"id": "AKIA"}),
        (
            {"*": "prefect://aws-credentials/prod", "region": "eu"},
            {
                "accessKeyId": "AKIA",
                "secretAccessKey": "hunter2",
                "awsClientParameters": {"verify": True},
                "region": "eu",
            },
        ),
        ({"*": "prefect://secret/login"}, {"user": "u", "tls": {"key": "k"}}),
    ],
)
def test_a_reference_becomes_the_value_of_its_block(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert resolved(given, read, ["*"]) == expected


@pytest.mark.parametrize(
    ("reference", "code", "says"),
    [
        ("prefect://Secret/db", "bad_block_reference", "prefect://<block type>/<block name>"),
        ("prefect://secret", "bad_block_reference", "prefect://<block type>/<block name>"),
        ("prefect://secret/db/passwort", "block_field_missing", "has no field 'passwort'"),
        ("prefect://aws-credentials/prod", "block_field_missing", "has several fields. Its fields: aws_access_key_id"),
        ("prefect://aws-credentials/other", "block_not_allowed", "is not for this tenant"),
    ],
)
def test_what_cannot_be_resolved_is_reported_without_any_value(reference: str, code: str, says: str) -> None:
    with pytest.raises(SourceError) as caught:
        resolved({"password": reference}, read, ["secret/*", "aws-credentials/prod"])
    assert caught.value.code == code
    assert says in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_single_value_is_not_taken_for_all_credentials() -> None:
    with pytest.raises(SourceError, match="is a single value"):
        resolved({"*": "prefect://secret/db"}, read, ["*"])


def test_a_block_is_read_once_for_all_its_fields() -> None:
    asked: list[BlockReference] = []

    def once(reference: BlockReference) -> Mapping[str, Any]:
        asked.append(reference)
        return read(reference)

    block = "prefect://aws-credentials/prod"
    resolved({"a": f"{block}/aws_access_key_id", "b": f"{block}/aws_secret_access_key"}, once, ["*"])
    assert len(asked) == 1


def test_references_are_found_wherever_they_stand() -> None:
    credentials = {"a": "x", "b": {"c": ["y", "prefect://secret/db"]}, "*": "prefect://x/y"}
    assert references(credentials) == {"b.c.1": "prefect://secret/db", "*": "prefect://x/y"}
