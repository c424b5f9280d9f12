"""The reconciler applies changes of the catalog to Prefect, once, also those made while Prefect was down."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from headrace.catalog.advisory_locks import DEPLOYMENT_LOCKS, advisory_lock
from headrace.catalog.engine import make_engine
from headrace.catalog.repositories import TenantCatalog
from headrace.deployments.prefect.orchestrator import OrchestratorAway, OrchestratorRefused, RegisteredPipeline
from headrace.deployments.sync.reconciler import Reconciler
from tests.databases import Roles
from tests.deployments.reconciling import engine, save

__all__ = ["engine"]

pytestmark = pytest.mark.postgres


@dataclass
class Prefect:
    """Deployments by pipeline id, and everything that was asked."""

    away: bool = False
    refuses: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    deployments: dict[str, RegisteredPipeline] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str:
        self._ask("register", pipeline.id)
        if pipeline.id in self.refuses:
            raise OrchestratorRefused("Prefect answered 422: no")
        self.deployments[pipeline.id] = pipeline
        return f"{pipeline.id} as {pipeline.name}"

    def retire(self, pipeline_id: str, *, keep: str) -> bool:
        self._ask("retire", pipeline_id)
        return pipeline_id not in self.busy

    def unregister(self, pipeline_id: str) -> bool:
        self._ask("unregister", pipeline_id)
        if pipeline_id in self.busy:
            return False
        self.deployments.pop(pipeline_id, None)
        return True

    def registered(self) -> dict[str, str]:
        return {key: pipeline.standing for key, pipeline in self.deployments.items()}

    def _ask(self, what: str, pipeline_id: str) -> None:
        with self._lock:
            if self.away:
                raise OrchestratorAway("nobody answers")
            self.asked.append(f"{what} {pipeline_id}")


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def reconciler(engine: Engine, prefect: Prefect) -> Reconciler:
    return Reconciler(engine, prefect)


def rename(engine: Engine, pipeline_id: str, name: str) -> None:
    with Session(engine) as session, session.begin():
        catalog = TenantCatalog(session, "default")
        pipeline = catalog.pipelines.lock(pipeline_id)
        assert pipeline is not None
        pipeline.name = name
        catalog.pipelines.save(pipeline)


def remove(engine: Engine, pipeline_id: str) -> None:
    with Session(engine) as session, session.begin():
        catalog = TenantCatalog(session, "default")
        pipeline = catalog.pipelines.lock(pipeline_id)
        assert pipeline is not None
        catalog.pipelines.remove(pipeline)


def waiting(engine: Engine) -> list[tuple[str, int, str | None]]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT pipeline_id, attempts, problem FROM headrace.deployment_changes"))
        return [tuple(row) for row in found]  # type: ignore[misc]


def make_due(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE headrace.deployment_changes SET due_at = now()"))


def test_what_was_saved_while_prefect_was_away_is_registered_when_it_is_back(
    engine: Engine, prefect: Prefect, reconciler: Reconciler
) -> None:
    prefect.away = True
    saved = {save(engine, name) for name in "abc"}
    with pytest.raises(OrchestratorAway):
        reconciler.sweep()
    prefect.away = False
    assert reconciler.sweep() == 3
    assert set(prefect.deployments) == saved
    assert waiting(engine) == []


def test_with_nothing_to_do_nothing_is_asked(engine: Engine, prefect: Prefect, reconciler: Reconciler) -> None:
    pipeline = save(engine)
    reconciler.sweep()
    prefect.asked.clear()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert reconciler.sweep() == 0
    assert len([each for each in statements if "deployment_changes" in each]) == len(statements) == 1
    assert reconciler.bring(pipeline) == f"{pipeline} as orders"
    assert prefect.asked == []


def test_the_run_parameters_of_the_live_version_are_registered(
    engine: Engine, prefect: Prefect, reconciler: Reconciler
) -> None:
    pipeline_id = save(engine)
    source = {"id": "s", "kind": "source", "config": {"path": "{{day}}.csv"}}
    for document, registered in (
        ({"nodes": [source], "parameters": {"day": {"default": "1"}}}, ({"name": "day", "default": "1"},)),
        ({"nodes": [source]}, ({"name": "day"},)),
        ({"nodes": []}, ()),
    ):
        with Session(engine) as session, session.begin():
            catalog = TenantCatalog(session, "default")
            pipeline = catalog.pipelines.lock(pipeline_id)
            assert pipeline is not None
            catalog.pipelines.save_ir(pipeline, document, authored_by="me")
        reconciler.sweep()
        assert prefect.deployments[pipeline_id].run_parameters == registered


def test_a_deleted_pipeline_is_unregistered(engine: Engine, prefect: Prefect, reconciler: Reconciler) -> None:
    pipeline = save(engine)
    reconciler.sweep()
    remove(engine, pipeline)
    assert reconciler.sweep() == 1
    assert prefect.deployments == {}
    assert waiting(engine) == []


def test_the_deployment_of_a_deleted_pipeline_stays_until_its_runs_have_ended(
    engine: Engine, prefect: Prefect, reconciler: Reconciler
) -> None:
    pipeline = save(engine)
    reconciler.sweep()
    remove(engine, pipeline)
    prefect.busy.add(pipeline)
    assert reconciler.sweep() == 1
    assert reconciler.sweep() == 0, "not at once again"
    assert list(prefect.deployments) == [pipeline]
    prefect.busy.clear()
    make_due(engine)
    assert reconciler.sweep() == 1
    assert prefect.deployments == {}
    assert waiting(engine) == []


def test_many_at_once_register_once_each(engine: Engine, prefect: Prefect) -> None:
    saved = [save(engine, f"p{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: Reconciler(engine, prefect).sweep(), range(6)))
        list(pool.map(lambda key: Reconciler(engine, prefect).bring(key), saved * 2))
    assert sorted(prefect.asked) == sorted(f"register {key}" for key in saved)
    assert waiting(engine) == []


def test_more_at_once_than_there_are_connections_wait_their_turn(roles: Roles, engine: Engine) -> None:
    saved = [save(engine, f"p{number}") for number in range(30)]
    prefect, small = Prefect(), make_engine(roles.api, pool_size=5)
    with ThreadPoolExecutor(30) as pool:
        brought = list(pool.map(lambda key: Reconciler(small, prefect).bring(key), saved))
    assert None not in brought
    assert set(prefect.deployments) == set(saved)
    small.dispose()


def test_a_save_while_prefect_is_being_updated_is_reported_next(engine: Engine, prefect: Prefect) -> None:
    pipeline = save(engine)

    class Slow(Prefect):
        def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str:
            if not self.asked:
                rename(engine, pipeline.id, "renamed")  # does not wait for Prefect
            return super().register(pipeline, first=first)

    slow = Slow()
    reconciler = Reconciler(engine, slow)
    reconciler.sweep()
    assert slow.deployments[pipeline].name == "orders"
    reconciler.sweep()
    assert slow.deployments[pipeline].name == "renamed"
    assert waiting(engine) == []


def test_a_save_does_not_wait_longer_than_a_statement_for_another_that_is_telling_prefect(
    roles: Roles, engine: Engine, prefect: Prefect
) -> None:
    pipeline = save(engine)
    impatient = make_engine(roles.api, query_timeout_s=0.2)
    try:
        with (
            advisory_lock(engine, DEPLOYMENT_LOCKS, pipeline, wait=True),
            pytest.raises(OrchestratorAway, match="has not answered another request"),
        ):
            Reconciler(impatient, prefect).bring(pipeline)
        assert Reconciler(impatient, prefect).bring(pipeline) == f"{pipeline} as orders"
    finally:
        impatient.dispose()


def test_a_refusal_keeps_nobody_waiting_and_is_tried_again_later(
    engine: Engine, prefect: Prefect, reconciler: Reconciler
) -> None:
    bad = save(engine, "bad")
    prefect.refuses = {bad}
    good = save(engine, "good")
    assert reconciler.sweep() == 1
    assert set(prefect.deployments) == {good}
    assert waiting(engine) == [(bad, 1, "Prefect answered 422: no")]
    assert reconciler.sweep() == 0
    assert prefect.asked.count(f"register {bad}") == 1
    with pytest.raises(OrchestratorRefused):
        reconciler.bring(bad)
    prefect.refuses = set()
    make_due(engine)
    assert reconciler.sweep() == 1
    assert waiting(engine) == []


def test_a_schedule_nobody_understands_keeps_nobody_waiting(
    engine: Engine, prefect: Prefect, reconciler: Reconciler
) -> None:
    bad, good = save(engine, "bad", schedule="0 2 * * *"), save(engine, "good")
    with engine.begin() as connection:
        connection.execute(
            text('UPDATE headrace.pipelines SET live_schedule = \'{"kind": "lunar"}\' WHERE id = :id'), {"id": bad}
        )
    assert reconciler.sweep() == 1
    assert set(prefect.deployments) == {good}


def test_a_former_deployment_with_runs_is_asked_about_until_they_have_ended(
    engine: Engine, prefect: Prefect, reconciler: Reconciler
) -> None:
    pipeline = save(engine)
    reconciler.sweep()
    prefect.busy = {pipeline}
    rename(engine, pipeline, "renamed")
    assert reconciler.bring(pipeline) == f"{pipeline} as renamed"
    assert [key for key, _, _ in waiting(engine)] == [pipeline]
    prefect.busy = set()
    make_due(engine)
    assert reconciler.sweep() == 1
    assert waiting(engine) == []


def test_what_prefect_lost_comes_back_and_what_is_not_ours_is_left_alone(
    engine: Engine, prefect: Prefect, reconciler: Reconciler
) -> None:
    lost, kept = save(engine, "lost"), save(engine, "kept")
    reconciler.sweep()
    del prefect.deployments[lost]
    prefect.deployments["pipe_of_another"] = prefect.deployments[kept]
    prefect.asked.clear()
    assert reconciler.compare() == 1
    assert reconciler.sweep() == 1
    assert prefect.asked == [f"register {lost}", f"retire {lost}"]
    assert set(prefect.deployments) == {lost, kept, "pipe_of_another"}
    assert reconciler.compare() == 0
