"""Schemathesis takes the OpenAPI document at its word: no 5xx, and every answer as documented.

A few requests per operation here; `make fuzz` sends many (HEADRACE_FUZZ_EXAMPLES, and HEADRACE_FUZZ_SEED for others).
"""

from __future__ import annotations

import json
import os
from typing import Any, get_args

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from pydantic_core.core_schema import ErrorType
from schemathesis.checks import load_all_checks
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.python._constants.orchestrator import make_constants_value_source
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade
from tests.api.contract.conftest import World, new_world
from tests.api.contract.openapi_document import application as described
from tests.api.contract.openapi_document import document

pytestmark = pytest.mark.postgres

EXAMPLES = int(os.environ.get("HEADRACE_FUZZ_EXAMPLES", "4"))
SEED = int(os.environ.get("HEADRACE_FUZZ_SEED", "0"))

_SHAPE_CODES = set(get_args(ErrorType)) - {"value_error", "assertion_error"}

_TEXT = {"unstorable_text"}  # in what has no schema of its own
_CURSOR = {"bad_cursor"}
_STATE = None  # whatever the data, the tables and the version that is asked for make impossible
_CONFIG = {"bad_option", "missing_field", "unknown_field", "invalid_value", "out_of_range", "unknown_value", *_TEXT}
_CONFIG |= {"unknown_auth_method"}
_FIELD = {"invalid_name", "not_allowed", "out_of_range", "missing_field", "duplicate_name", "invalid_default", *_TEXT}
_DOCUMENT = {"not_an_object", "not_one_document", "malformed_yaml", "too_many_fields", *_TEXT}
_PIPELINE = {
    *("unknown_connector", "unknown_schema", "invalid_cron", "missing_field", "duplicate_id", "unknown_node"),
    *("bad_option", "not_streamable"),  # of executionConfig: bounds, a mode that the document does not fit
}

SEMANTIC: dict[str, set[str] | None] = {
    "list_pipelines": _CURSOR,
    "list_connectors": _CURSOR,
    "list_schemas": _CURSOR,
    "list_api_keys": _CURSOR,
    "list_streams": _CURSOR,
    "change_cursors": {"invalid_change", "missing_field", "unknown_source"},
    "get_errors": _CURSOR,
    "get_scheduler_status": _CURSOR,
    "create_pipeline": _PIPELINE | _TEXT,
    "update_pipeline": _PIPELINE | _TEXT,
    "list_replications": _CURSOR,
    "create_replication": _STATE,  # a document of its own, with a schema of its own
    "update_replication": _STATE,
    "plan_replication": _STATE,
    "run_replication": set(),
    "retry_replication_run": set(),
    "cancel_replication_run": set(),
    "rehearse_requests": _TEXT,
    "check_ir": {"unknown_field", *_TEXT},
    "save_ir": {"bad_version", "unknown_field", "not_streamable", *_TEXT},  # beside `ir` nothing but `comment` is known
    "plan_pipeline": _STATE,
    "preview_pipeline": _STATE,
    "preview_sql": _STATE,
    "start_run": _STATE,
    "create_connector": _CONFIG,
    "update_connector": _CONFIG | {"immutable", "unreadable"},
    "list_yaml_connectors": _CURSOR,
    "create_yaml_connector": _DOCUMENT,
    "save_yaml_connector": {"bad_version", "immutable", *_DOCUMENT},
    "test_connection": _CONFIG | {"not_testable"},
    "upload_file": {"bad_name", "bad_upload", "exists"},
    "receive_hook": {"bad_gzip", "missing_key", "bad_key"},
    "create_schema": _FIELD | {"unknown_schema", "unknown_type"},
    "update_schema": {"unknown_schema", "immutable", *_TEXT},
    "add_field": _FIELD | {"immutable"},
    "change_field": _FIELD | {"immutable"},
    "insert_rows": {"empty_row", "unknown_column", "refused", *_TEXT},
    "create_api_key": {"in_the_past"},
    "retry_run": set(),
    "try_retry": _STATE,
    "cancel_run": set(),
    "read_rows": set(),
}
"""What operations may find wrong with a request that the document calls valid, by the codes of the details. Those that
are not here find nothing: there the document says it all."""

_KNOWN = ("pipeline_id", "replication_id", "connector_id", "schema_id", "run_id", "document_id", "hook_id")


class Application:
    """The application: one without a database until the one that is tested is there."""

    def __init__(self) -> None:
        self.app: ASGIApp = described()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


application = Application()
# too large is an answer to what is not valid, too
REFUSALS = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]
CONFIG = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document())), config=CONFIG)
schema.app = application


@pytest.fixture(scope="module")
def world(contract: Facade) -> World:
    application.app = contract.app
    return new_world(contract)


def never_refused_for_its_shape(context: Any, response: Any, case: Any) -> None:
    """Instead of Schemathesis' own check: a document cannot say all that makes a cron expression or an IR valid, but
    what it does say (types, required and unknown fields, lengths, choices) must not be why valid data is refused."""
    if case.meta.generation.mode.is_positive and response.status_code in (400, 422):
        error = response.json()["error"]
        operation = case.operation.definition.raw["operationId"]
        assert operation in SEMANTIC, f"valid according to the document, yet refused: {error}"
        if "_replication" in operation and error["message"] == "The replication is not valid":
            return
        if error["message"] == "The connector document is not valid":  # it has a schema of its own
            assert operation in ("create_yaml_connector", "save_yaml_connector")
            return
        if error["message"] == "The IR is not valid":  # a document of its own, with a schema of its own
            assert operation in ("create_pipeline", "save_ir")
            return
        found = {detail["code"] for detail in error["details"]}
        assert not found & _SHAPE_CODES, f"valid according to the document, yet refused: {error}"
        known = SEMANTIC[operation]
        if known is None:
            assert not found & {"missing_field", "unknown_field"}, f"{operation}: {error}"
            return
        assert found <= known, f"{operation} is not known to refuse this: {error}"


OPERATIONS = [
    operation["operationId"]
    for methods in schema.raw_schema["paths"].values()
    for operation in methods.values()
    if "operationId" in operation
]


def _operation(name: str) -> Any:
    return next(each.ok() for each in schema.include(operation_id=name).get_all_operations())


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_documented_of_an_operation_holds(name: str, contract: Facade, world: World) -> None:
    def test(case: Any) -> None:
        # half of the requests are for objects that exist: the others end at 404
        for given in _KNOWN:
            if given in case.path_parameters and len(str(case.path_parameters[given])) % 2:
                case.path_parameters[given] = world.ids[given]
        key = contract.admin.headers["X-API-Key"] if case.operation.path.startswith(BASE_PATH) else ""
        response = case.call(headers={"X-API-Key": key} if key else {})
        case.validate_response(
            response,
            additional_checks=[never_refused_for_its_shape],
            excluded_checks=[positive_data_acceptance],
        )

    test.__name__ = test.__qualname__ = f"test_{name}"
    tried = settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    # Built here and not by `parametrize()`: that makes up all requests while tests are collected, in every process.
    load_all_checks()
    feedback = FeedbackSources(constants_value_source=make_constants_value_source(schema))
    build_operation_test(
        config=schema.config,
        operation=_operation(name),
        test_func=seed(SEED)(tried(test)),
        given_kwargs={},
        feedback=feedback,
    )()
