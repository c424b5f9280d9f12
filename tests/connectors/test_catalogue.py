"""The connector types: what each needs, and what is honest to say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connectors.base import SourceError
from connectors.catalogue import CONNECTOR_TYPES, SOURCE_NAMES
from connectors.registry import READY, SOURCES, source_for
from ir.schema import Field

COMPLETE: dict[str, dict[str, Any]] = {
    "postgresql": {"host": "h", "port": 5432, "database": "d"},
    "mysql": {"host": "h", "port": 3306, "database": "d"},
    "redshift": {"host": "h", "port": 5439, "database": "d"},
    "snowflake": {"account": "xy12345.us-east-1", "warehouse": "COMPUTE_WH", "database": "ANALYTICS"},
    "databricks": {"host": "h", "httpPath": "/sql"},
    "bigquery": {"project": "p", "dataset": "d"},
    "mongodb": {"host": "h"},
    "kafka": {"bootstrapServers": "h:9092"},
    "confluent_kafka": {"bootstrapServers": "h:9092"},
    "aws_s3": {"bucket": "b", "region": "eu-central-1"},
    "gcs": {"bucket": "b", "project": "p"},
    "azure_blob": {"container": "c", "storageAccount": "s"},
    "sftp": {"host": "h", "port": 22},
    "rest_api": {"url": "https://example.org/x"},
    "webhook": {"url": "https://example.org/x"},
    "amazon_kinesis": {"streamName": "s", "region": "eu-central-1"},
    "salesforce": {"instanceUrl": "https://example.org"},
    "hubspot": {"apiKey": "k"},
}
"""The documented types, each with the least that the reference page requires of it."""


@pytest.mark.parametrize("name", COMPLETE)
def test_the_documented_settings_are_enough_and_all_are_needed(name: str) -> None:
    known, config = CONNECTOR_TYPES[name], COMPLETE[name]
    validator = Draft202012Validator(known.config_schema)
    assert known.problems(config) == []
    assert validator.is_valid(config)
    for setting in config:
        rest = {key: value for key, value in config.items() if key != setting}
        [problem] = known.problems(rest)
        assert (problem.code, setting in problem.message) == ("missing_field", True)
        assert not validator.is_valid(rest)


def test_either_of_two_is_enough_where_the_page_says_so() -> None:
    for name, config in (("mongodb", {"connectionString": "mongodb://h"}), ("salesforce", {"apiKey": "k"})):
        assert CONNECTOR_TYPES[name].problems(config) == []
        assert Draft202012Validator(CONNECTOR_TYPES[name].config_schema).is_valid(config)


@pytest.mark.parametrize("name", CONNECTOR_TYPES)
def test_every_types_schemas_are_json_schemas(name: str) -> None:
    known = CONNECTOR_TYPES[name]
    for schema in (known.config_schema, known.auth_schema):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"


@pytest.mark.parametrize(
    ("name", "config", "path", "hint"),
    [
        ("local_fs", {"basepath": "x"}, "config.basepath", "did you mean 'basePath'?"),
        ("postgresql", COMPLETE["postgresql"] | {"port": 0}, "config.port", ""),
        ("postgresql", COMPLETE["postgresql"] | {"host": " "}, "config.host", ""),
        ("rest_api", {"url": "file:///etc/passwd"}, "config.url", ""),
    ],
)
def test_what_cannot_be_is_told_with_its_place(name: str, config: dict[str, Any], path: str, hint: str) -> None:
    [problem] = CONNECTOR_TYPES[name].problems(config)
    assert (problem.path, problem.hint) == (path, hint)


def test_only_what_reads_is_ready_and_ftp_is_no_type() -> None:
    assert {name for name, known in CONNECTOR_TYPES.items() if known.source in READY} == {"local_fs"}
    assert "ftp" not in SOURCE_NAMES
    with pytest.raises(SourceError, match="sftp"):
        source_for("ftp", {}, fields=(), files_root=Path(), connection={})


@pytest.mark.parametrize("name", ["amazon_kinesis", "kinesis_consumer", "braze"])
def test_a_connector_that_is_coming_soon_gives_no_rows_and_says_so(name: str) -> None:
    fields = (Field("amount", "integer"),)
    source = SOURCES[name]({"streamName": "x"}, fields=fields, files_root=Path(), connection={})
    found = source.discover(max_partitions=4)
    assert (found.schema, list(found.partitions), found.total_rows) == (fields, [], 0)
    assert source.sample(5).columns == ["amount"]
    assert name in source.note  # type: ignore[attr-defined]
