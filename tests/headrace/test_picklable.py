"""Errors come back from other processes as they were raised there."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headrace import ApiRefused, HeadraceError, Pipeline, PipelineFailed, PipelineInvalid, PipelineResult
from headrace._picklable import PicklableError
from headrace.connectors.errors import SourceError, TargetError
from headrace.deployments.cli.connector_documents import DocumentFault
from headrace.deployments.cli.documents.load import DocumentsInvalid, Fault, Origin
from headrace.deployments.stack.state import AlreadyRunning
from headrace.flows.compile.scope import PlanError
from headrace.flows.runtime.errors import PlanFailed, RunFailed
from headrace.flows.runtime.memory.watch import OutOfMemory
from headrace.flows.runtime.staging.storage import StagingFailed
from headrace.ir.problems import Problem
from headrace.ir.sql import Refused
from headrace.prefect import PipelineFailed as FailedInPrefect
from tests.headrace.orders import ORDERS

PROBLEMS = [Problem("nodes[0]", "unknown_column", "There is no column 'x'", "did you mean 'y'?")]


def result() -> PipelineResult:
    pipeline = Pipeline.from_yaml(ORDERS)
    return PipelineResult(
        *("pr_1", "failed", 1, 0, 0, 0, "no disk", {}, ("said",), None, pipeline, "pr_1", "postgresql://d", Path("/f"))
    )


def errors() -> Iterator[Exception]:
    yield HeadraceError("It did not work.", "Try again.")
    yield ApiRefused(409, "There is one.", "Take another name.", PROBLEMS)
    yield PipelineInvalid(PROBLEMS)
    yield PipelineFailed(result())
    yield AlreadyRunning(Path("/data"), 7)
    yield DocumentFault("It has problems.", PROBLEMS)
    yield DocumentsInvalid([Fault(Origin("a.yaml", 1, {}), PROBLEMS[0])])
    source = SourceError("bad_encoding", "It is not UTF-8.", "Set options.encoding.")
    source.file = "a.csv"
    yield source
    yield TargetError("no_table", "There is no table.")
    yield RunFailed("More than 10 rows failed")
    yield PlanFailed(PROBLEMS)
    yield OutOfMemory(2**30, "src")
    yield StagingFailed("/staging", "no disk", "Make room")
    yield PlanError(PROBLEMS[0])
    yield Refused("query_refused", "It is refused", "ask for less")
    yield FailedInPrefect("The run failed", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [*errors()], ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_after_pickling(error: Exception) -> None:
    error.add_note("seen")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.args) == (type(error), str(error), error.args)
    reported: dict[str, Any] = {name: repr(value).partition(" at 0x")[0] for name, value in vars(error).items()}
    assert {name: repr(value).partition(" at 0x")[0] for name, value in vars(again).items()} == reported


def test_every_error_with_arguments_of_its_own_is_tried() -> None:
    def below(kind: type[PicklableError]) -> Iterator[type[PicklableError]]:
        for each in kind.__subclasses__():
            yield each
            yield from below(each)

    own = {each for each in below(PicklableError) if "__init__" in vars(each)}
    assert own <= {type(error) for error in errors()}


def _fails() -> None:
    raise PipelineInvalid(PROBLEMS)


def test_a_process_pool_survives_it() -> None:
    with ProcessPoolExecutor(1) as pool:
        with pytest.raises(PipelineInvalid) as caught:
            pool.submit(_fails).result()
        assert caught.value.problems == tuple(PROBLEMS)
        assert pool.submit(len, "ab").result() == 2
