"""Every write leaves an entry in its tenant's chain, in the same transaction, and no entry can be changed unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from headrace.catalog.audit.author import Author, writing_as
from headrace.catalog.bootstrap import issue_key
from headrace.catalog.engine import make_engine
from headrace.catalog.models import ApiKey, AuditEntry, Connector
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.audit import Verification
from headrace.catalog.runs.store import RunStore
from tests.catalog.conftest import add_connector, add_pipeline
from tests.catalog.tampering import tamper
from tests.databases import Roles

pytestmark = pytest.mark.postgres


@pytest.fixture
def engine(engine: Engine, roles: Roles) -> Iterator[Engine]:
    """The superuser's, whom the chain has to withstand: other roles may add entries and not even try to change one."""
    owned = make_engine(roles.superuser)
    yield owned
    owned.dispose()


def entries(catalog: TenantCatalog, **filters: str) -> list[AuditEntry]:
    catalog.session.commit()
    found, total = catalog.audit.newest(limit=1000, **filters)
    assert total == len(found)
    return list(reversed(found))


def verified(engine: Engine, tenant: str = "default") -> Verification:
    with Session(engine) as session:
        return TenantCatalog(session, tenant).audit.verify()


def said(entry: AuditEntry) -> tuple[str, str, str | None]:
    return entry.action, entry.entity_type, entry.entity_name


def test_creating_changing_and_deleting_are_reported_with_before_and_after(mine: TenantCatalog) -> None:
    connector = add_connector(mine)
    mine.session.commit()
    connector.description = "all our files"
    mine.session.commit()
    mine.session.delete(connector)
    created, changed, deleted = entries(mine, entity_type="connector")
    assert [said(entry)[0] for entry in (created, changed, deleted)] == ["create", "update", "delete"]
    assert created.before is None
    assert created.after is not None
    assert (created.after["name"], created.after["description"]) == ("files", None)
    assert changed.before == created.after
    assert changed.after == created.after | {"description": "all our files"} == deleted.before
    assert deleted.after is None


def test_bookkeeping_is_no_entry_and_secrets_are_only_digests(engine: Engine, mine: TenantCatalog) -> None:
    connector = add_connector(mine, auth_sealed=b"sealed credentials")
    key = issue_key(engine, tenant_id="default", name="ci", role="admin", pepper="p" * 16)
    mine.session.commit()
    mine.session.execute(update(Connector).values(last_tested_at=datetime.now(UTC), status="error"))
    mine.session.execute(update(ApiKey).values(last_used_at=datetime.now(UTC)))
    [created] = entries(mine, entity_type="connector")
    assert created.after is not None
    assert created.after["auth_sealed"].startswith("sha256:")
    [issued] = entries(mine, entity_type="api_key")
    assert issued.after is not None
    assert issued.after["digest"].startswith("sha256:")
    assert key not in str(issued.after)
    connector.auth_sealed = b"other credentials"
    changed = entries(mine, entity_type="connector")[-1]
    assert changed.before is not None
    assert changed.after is not None
    assert changed.before["auth_sealed"] != changed.after["auth_sealed"]


def test_a_pipeline_reports_of_its_versions_and_runs_and_its_end_only_once(engine: Engine, mine: TenantCatalog) -> None:
    pipeline = add_pipeline(mine)
    RunStore(engine).open(
        "run_1", tenant_id="default", pipeline_id=pipeline.id, ir_version=1, root_run_id="run_1", retry_of=None,
        load_strategy="append",
    )  # fmt: skip
    mine.session.delete(pipeline)
    reported = [said(entry) for entry in entries(mine)]
    assert ("create", "pipeline_ir", "orders") in reported
    assert ("create", "pipeline_run", None) in reported
    assert reported[-1] == ("delete", "pipeline", "orders")
    [version] = entries(mine, entity_type="pipeline_ir")
    assert (version.entity_id, version.entity_version) == (pipeline.id, 1)
    assert version.after is not None
    assert version.after["ir"].startswith("sha256:")


def test_an_entry_names_its_author_and_request(engine: Engine, mine: TenantCatalog) -> None:
    author = Author("key_1", "alice", "req_1")
    with writing_as(author), Session(engine) as session, session.begin():
        add_connector(TenantCatalog(session, "default"))
        assert not author.recorded
    assert author.recorded
    add_connector(mine, "more files")
    first, second = entries(mine, entity_type="connector")
    assert (first.user_id, first.user_name, first.request_id) == ("key_1", "alice", "req_1")
    assert (second.user_id, second.user_name, second.request_id) == ("system", "system", None)


def test_what_is_rolled_back_or_only_read_is_not_recorded(engine: Engine, mine: TenantCatalog) -> None:
    author = Author("key_1", "alice")
    with writing_as(author), Session(engine) as session:
        add_connector(TenantCatalog(session, "default"))
        session.rollback()
        TenantCatalog(session, "default").connectors.page(limit=1)
        session.commit()
    assert not author.recorded
    assert entries(mine, entity_type="connector") == []


def test_an_action_that_no_table_shows_can_be_reported(mine: TenantCatalog) -> None:
    mine.audit.append("cancel", "pipeline_run", "run_1", before={"status": "running"}, after={"status": "failed"})
    [entry] = entries(mine, entity_type="pipeline_run")
    assert (entry.action, entry.entity_id, entry.before) == ("cancel", "run_1", {"status": "running"})


def test_tenants_have_chains_of_their_own(mine: TenantCatalog, theirs: TenantCatalog, engine: Engine) -> None:
    add_connector(mine)
    add_connector(theirs, "their files")
    assert [entry.entity_name for entry in entries(mine, entity_type="connector")] == ["files"]
    assert [entry.entity_name for entry in entries(theirs, entity_type="connector")] == ["their files"]
    assert verified(engine).intact
    assert verified(engine, "other").intact


def test_writers_at_once_neither_fork_the_chain_nor_block_each_other_for_good(engine: Engine) -> None:
    def write(number: int) -> None:
        with Session(engine) as session, session.begin():
            catalog = TenantCatalog(session, "default")
            # rows are locked in any order: the chain must not be locked before them
            names = ["a", "b"] if number % 2 else ["b", "a"]
            add_connector(catalog, f"files {number}")
            for name in names[:1]:
                session.execute(update(Connector).where(Connector.name == name).values(description=str(number)))

    with Session(engine) as session, session.begin():
        for name in ("a", "b"):
            add_connector(TenantCatalog(session, "default"), name)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    found = verified(engine)
    assert (found.intact, found.total, found.verified) == (True, 163, 163)


@pytest.fixture
def chain(engine: Engine, mine: TenantCatalog) -> list[AuditEntry]:
    for number in range(5):
        add_connector(mine, f"files {number}")
    found = entries(mine)
    mine.session.commit()  # a reader's lock would keep TRUNCATE waiting
    assert verified(engine).intact
    return found


@pytest.mark.parametrize(
    "change", ["action = 'read'", "user_name = 'mallory'", "after = after || '{\"x\": 1}'", "created_at = now()"]
)
def test_a_changed_entry_is_found(engine: Engine, chain: list[AuditEntry], change: str) -> None:
    tamper(engine, f"UPDATE headrace.audit_log SET {change} WHERE id = :id", id=chain[2].id)
    found = verified(engine)
    assert (found.intact, found.broken_at_id, found.broken_reason) == (False, chain[2].id, "hash_mismatch")
    assert found.verified == 2


@pytest.mark.parametrize("removed", [0, 2])
def test_a_removed_entry_is_found_at_the_one_after_it(engine: Engine, chain: list[AuditEntry], removed: int) -> None:
    tamper(engine, "DELETE FROM headrace.audit_log WHERE id = :id", id=chain[removed].id)
    found = verified(engine)
    assert (found.intact, found.broken_at_id) == (False, chain[removed + 1].id)
    assert found.broken_reason == "chain_link_mismatch"


@pytest.mark.parametrize("kept", [0, 3])
def test_removed_newest_entries_are_found(engine: Engine, chain: list[AuditEntry], kept: int) -> None:
    tamper(engine, "DELETE FROM headrace.audit_log WHERE tenant_id = 'default' AND sequence > :kept", kept=kept)
    found = verified(engine)
    assert (found.intact, found.broken_reason) == (False, "chain_link_mismatch")


def test_two_swapped_entries_are_found(engine: Engine, chain: list[AuditEntry]) -> None:
    tamper(
        engine,
        "UPDATE headrace.audit_log SET sequence = CASE id WHEN :a THEN -3 ELSE -2 END WHERE id IN (:a, :b)",
        a=chain[1].id,
        b=chain[2].id,
    )
    tamper(engine, "UPDATE headrace.audit_log SET sequence = -sequence WHERE sequence < 0")
    assert not verified(engine).intact


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE headrace.audit_log SET action = 'x'",
        "DELETE FROM headrace.audit_log",
        "TRUNCATE headrace.audit_log",
    ],
)
def test_the_log_refuses_to_be_changed(engine: Engine, chain: list[AuditEntry], statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
