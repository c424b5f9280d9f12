"""A key speaks for one tenant and role until it expires or is revoked, and the database does not know it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from headrace.catalog.bootstrap import issue_key
from headrace.catalog.models import ApiKey
from headrace.catalog.security.api_keys import Principal, authenticate, digest, generate_key, shown_prefix

PEPPER = "a pepper for tests"


def test_keys_are_long_random_and_recognisable() -> None:
    keys = {generate_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("hr_") and len(key) == 46 for key in keys)
    assert {len(shown_prefix(key)) for key in keys} == {11}


def test_the_hash_depends_on_key_and_pepper() -> None:
    assert digest("hr_a", "p") == digest("hr_a", "p")
    assert len({digest("hr_a", "p"), digest("hr_b", "p"), digest("hr_a", "q")}) == 3


@pytest.mark.postgres
def test_a_key_names_its_tenant_role_and_itself(engine: Engine, session: Session) -> None:
    key = issue_key(engine, tenant_id="default", name="ci", role="editor", pepper=PEPPER)
    key_id = session.scalars(select(ApiKey.id)).one()
    assert authenticate(session, key, PEPPER) == Principal("default", "editor", "ci", key_id)


@pytest.mark.postgres
@pytest.mark.parametrize("wrong", ["", "hr_", "nonsense", "hr_ü", "hr_\x00"])
def test_an_unknown_key_is_nobodys(session: Session, wrong: str) -> None:
    assert authenticate(session, wrong, PEPPER) is None


@pytest.mark.postgres
def test_a_key_with_the_right_beginning_is_not_enough(engine: Engine, session: Session) -> None:
    key = issue_key(engine, tenant_id="default", name="ci", role="editor", pepper=PEPPER)
    assert authenticate(session, key[:-1] + ("a" if key[-1] != "a" else "b"), PEPPER) is None
    assert authenticate(session, key, "another pepper") is None


@pytest.mark.postgres
def test_a_key_stops_at_its_expiry(engine: Engine, session: Session) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    key = issue_key(engine, tenant_id="default", name="ci", role="viewer", pepper=PEPPER, expires_at=end)
    assert authenticate(session, key, PEPPER, now=end - timedelta(seconds=1)) is not None
    assert authenticate(session, key, PEPPER, now=end) is None


@pytest.mark.postgres
def test_issuing_a_name_again_revokes_the_older_key(engine: Engine, session: Session) -> None:
    old = issue_key(engine, tenant_id="default", name="stack", role="admin", pepper=PEPPER)
    other = issue_key(engine, tenant_id="other", name="stack", role="admin", pepper=PEPPER)
    new = issue_key(engine, tenant_id="default", name="stack", role="admin", pepper=PEPPER)
    assert authenticate(session, old, PEPPER) is None
    assert authenticate(session, new, PEPPER) is not None
    assert authenticate(session, other, PEPPER) is not None


@pytest.mark.postgres
def test_the_database_holds_no_key_and_learns_when_it_was_used(engine: Engine, session: Session) -> None:
    key = issue_key(engine, tenant_id="default", name="ci", role="viewer", pepper=PEPPER)
    now = datetime(2026, 1, 15, 9, tzinfo=UTC)
    for seconds in (0, 30, 61):
        assert authenticate(session, key, PEPPER, now=now + timedelta(seconds=seconds)) is not None
        session.commit()
    row = session.execute(text("SELECT k::text AS stored, last_used_at FROM headrace.api_keys k")).one()
    assert key not in row.stored
    assert row.last_used_at == now + timedelta(seconds=61)
