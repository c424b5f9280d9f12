"""The registration of a pipeline in Prefect, and when it counts as changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.types.names import BANNED_CHARACTERS
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import is_valid

from headrace.deployments.prefect.registered_pipeline import (
    ENTRYPOINT,
    PARAMETER_SCHEMA,
    REPLICATION_ENTRYPOINT,
    REPLICATION_PARAMETER_SCHEMA,
    RegisteredPipeline,
    owner_from_tags,
)
from headrace.ir.schedules.schedule import CronSchedule, IntervalSchedule

ORDERS = RegisteredPipeline(
    "pipe_1", "Daily orders", "default", CronSchedule(kind="cron", expression="0 2 * * *"), 3, 4
)


def test_the_parameters_are_those_of_the_flow() -> None:
    from headrace.flows.run import run_pipeline

    assert f"{run_pipeline.fn.__module__}.{run_pipeline.fn.__name__}" == ENTRYPOINT
    described = parameter_schema(run_pipeline).model_dump()
    assert described["required"] == PARAMETER_SCHEMA["required"]
    assert {name: each["position"] for name, each in described["properties"].items()} == {
        name: each["position"] for name, each in PARAMETER_SCHEMA["properties"].items()
    }
    assert set(ORDERS.parameters) == set(PARAMETER_SCHEMA["required"])


def test_a_replication_has_a_flow_a_queue_and_a_name_of_its_own() -> None:
    from headrace.flows.replication.run import run_replication

    assert f"{run_replication.fn.__module__}.{run_replication.fn.__name__}" == REPLICATION_ENTRYPOINT
    described = parameter_schema(run_replication).model_dump()
    assert described["required"] == REPLICATION_PARAMETER_SCHEMA["required"]
    assert list(described["properties"]) == list(REPLICATION_PARAMETER_SCHEMA["properties"])
    copies = RegisteredPipeline("repl_1", "shop", "default", None, 3)
    assert copies.parameters == {"replication_id": "repl_1", "tenant_id": "default"}
    assert (copies.entrypoint, copies.work_queue) == (REPLICATION_ENTRYPOINT, "replications:default")
    assert is_valid(copies.parameters, copies.parameter_schema)
    assert not is_valid({**copies.parameters, "replication_id": "repl_2"}, copies.parameter_schema)
    alike = RegisteredPipeline("pipe_1", copies.deployment_name, "default", None, 3)
    assert alike.deployment_name != copies.deployment_name  # two with one name would share a deployment
    assert alike.flow_name != copies.flow_name
    assert owner_from_tags(copies.tags) == "repl_1"
    assert owner_from_tags(ORDERS.tags) == "pipe_1"
    assert owner_from_tags(["headrace", "replication:"]) is None


def test_values_are_taken_and_refused_as_by_the_flows_own_description() -> None:
    from headrace.flows.run import run_pipeline

    described = parameter_schema(run_pipeline).model_dump()
    scalars: list[Any] = [None, "a", 1, 1.5, True]
    values = [*scalars, [], ["a"], {}, {"a": []}, {"a": {}}, *({"a": each} for each in scalars)]
    verdicts = set()
    for name in PARAMETER_SCHEMA["properties"]:
        for value in values:
            given = ORDERS.parameters | {name: value}
            taken = is_valid(given, described)
            assert is_valid(given, PARAMETER_SCHEMA) == taken, (name, value)
            verdicts.add((name, taken))
    assert len(verdicts) == 2 * len(PARAMETER_SCHEMA["properties"])  # each took some and refused some


def test_another_pipelines_or_tenants_id_is_refused() -> None:
    assert is_valid(ORDERS.parameters, ORDERS.parameter_schema)
    for name in ORDERS.parameters:
        assert not is_valid(ORDERS.parameters | {name: "another"}, ORDERS.parameter_schema)
        assert not is_valid(
            {key: ORDERS.parameters[key] for key in ORDERS.parameters.keys() - {name}}, ORDERS.parameter_schema
        )


def test_the_form_has_a_field_for_each_run_parameter() -> None:
    described = {"name": "day", "description": "The day to load", "default": "2026-01-01"}
    schema = replace(ORDERS, run_parameters=(described, {"name": "n"})).parameter_schema
    fields = schema["properties"]["parameters"]["properties"]
    assert list(fields) == ["day", "n"]
    assert fields["day"]["description"] == "The day to load. Default: 2026-01-01"
    for given in ({}, {"day": "x", "n": 7}, {"another_version": True}):
        assert is_valid(ORDERS.parameters | {"parameters": given}, schema)
    assert not is_valid(ORDERS.parameters | {"parameters": {"day": ["x"]}}, schema)


@pytest.mark.parametrize(
    "change",
    [
        {"run_parameters": ({"name": "day"},)},
        {"name": "Hourly orders"},
        {"tenant_id": "acme"},
        {"schedule": None},
        {"schedule": IntervalSchedule(kind="interval", minutes=5)},
        {"ir_version": 4},
        {"parallelism": 8},
        {"active": False},
        {"scheduled_since": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_prefect_is_reported_changes_the_fingerprint(change: dict[str, object]) -> None:
    changed = replace(ORDERS, **change)  # type: ignore[arg-type]
    assert changed.fingerprint() != ORDERS.fingerprint()
    assert changed.version != ORDERS.version


def test_the_same_pipeline_has_the_same_fingerprint() -> None:
    again = replace(ORDERS, schedule=CronSchedule(kind="cron", expression="0 2 * * *"))
    assert again.fingerprint() == ORDERS.fingerprint()


def test_names_are_such_that_prefect_takes_them_and_stay_distinct() -> None:
    names = {replace(ORDERS, name=f"a{character}b").flow_name for character in [*BANNED_CHARACTERS, " "]}
    assert len(names) == len(BANNED_CHARACTERS) + 1
    assert not any(character in name for name in names for character in BANNED_CHARACTERS)
