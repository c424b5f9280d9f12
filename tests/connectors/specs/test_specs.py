"""The connector types: required settings, and whether they are implemented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.files.settings import FileSettings
from headrace.connectors.http.shipped.documents import shipped_documents
from headrace.connectors.registry import config_problems, of_type, readable, source_for, source_names
from headrace.connectors.specs import CONNECTOR_TYPES
from headrace.connectors.unimplemented import UnimplementedSource
from tests.connectors.complete import COMPLETE

CONTEXT = Context(Connection("conn_1", "local_fs"), Surroundings(FilesRoot(Path())))


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


@pytest.mark.parametrize(
    "options",
    [
        {"skipRows": True},
        {"headerRow": True},
        {"sheet": True},
        {"columns": [{"name": "a", "start": 1, "width": True}]},
    ],
)
def test_a_boolean_is_no_number_in_the_settings(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileSettings.model_validate({"path": "a.csv", "options": options})
    config = COMPLETE["postgresql"]
    assert CONNECTOR_TYPES["postgresql"].problems(config | {"port": 5433}) == []
    [problem] = CONNECTOR_TYPES["postgresql"].problems(config | {"port": True})
    assert problem.path.endswith("port")


def test_a_webhook_may_name_its_sender_as_the_page_has_it_and_need_not() -> None:
    assert CONNECTOR_TYPES["webhook"].problems({"url": "https://example.org/x"}) == []


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
def test_what_cannot_be_is_reported_with_its_place(name: str, config: dict[str, Any], path: str, hint: str) -> None:
    [problem] = CONNECTOR_TYPES[name].problems(config)
    assert (problem.path, problem.hint) == (path, hint)


def test_only_what_reads_is_ready_and_ftp_is_no_type() -> None:
    ready = {name for name, known in CONNECTOR_TYPES.items() if known.source in readable()}
    assert ready == {
        "amazon_kinesis",
        "aws_s3",
        "azure_blob",
        "bigquery",
        "confluent_kafka",
        "csv_upload",
        "databricks",
        "gcs",
        "http_pull",
        "kafka",
        "local_fs",
        "mongodb",
        "mysql",
        "postgresql",
        "rest_api",
        "redshift",
        "sftp",
        "snowflake",
        "webhook",
        *shipped_documents(),
    }
    assert "ftp" not in source_names()
    with pytest.raises(SourceError, match="sftp"):
        source_for("ftp", CONTEXT)


def test_a_connector_that_is_coming_soon_is_not_taken_for_one_without_rows() -> None:
    source = UnimplementedSource("later", CONTEXT)
    with pytest.raises(SourceError, match="'later' is coming soon: it cannot read yet") as refused:
        source.discover(max_partitions=4)
    assert refused.value.code == "not_ready"


def test_the_endpoints_of_an_api_are_evaluated_when_its_connector_is_saved() -> None:
    known, config = CONNECTOR_TYPES["rest_api"], COMPLETE["rest_api"]
    paged = {"path": "/x", "pagination": {"type": "page", "param": "page"}}
    assert known.problems(config | {"endpoints": {"x": paged}, "test": {"endpoint": "x"}}) == []
    [problem] = known.problems(config | {"endpoints": {"x": paged | {"paht": "/"}}})
    assert problem.message == "'x'.paht: Unknown setting 'paht'"
    [problem] = known.problems(config | {"endpoints": {"x": paged}, "test": {"endpoint": "y"}})
    assert "no endpoint 'y'" in problem.message


@pytest.mark.parametrize(("type_name", "name"), [("kafka", "kafka_consumer"), ("aws_s3", "s3")])
def test_a_source_may_be_named_by_the_type_of_its_connector(type_name: str, name: str) -> None:
    known = of_type(type_name)
    assert known is not None
    assert known.name == name
    wrong = {"nothing": 1}
    assert config_problems(type_name, wrong) == config_problems(name, wrong)
