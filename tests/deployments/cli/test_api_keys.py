"""`headrace keys`: a key is created, used, listed and revoked; all of it is in the audit log."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from headrace.catalog.bootstrap import ensure_tenant
from headrace.catalog.engine import make_engine
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.security.api_keys import authenticate
from headrace.deployments.cli.app import app
from headrace.deployments.errors import HeadraceError
from tests.databases import Roles

pytestmark = pytest.mark.postgres

PEPPER = "a pepper for tests"


@pytest.fixture
def keys(migrated: Roles, owner_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    engine = make_engine(owner_url)
    ensure_tenant(engine, "default")
    engine.dispose()
    monkeypatch.setenv("HEADRACE_DATABASE_URL", owner_url)
    monkeypatch.setenv("HEADRACE_KEY_PEPPER", PEPPER)
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
    return CliRunner()


def test_a_key_is_printed_alone_listed_without_itself_and_revoked(keys: CliRunner, owner_url: str) -> None:
    made = keys.invoke(app, ["keys", "create", "--name", "nightly", "--role", "editor", "--days", "7"])
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    engine = make_engine(owner_url)
    with Session(engine) as session, session.begin():
        principal = authenticate(session, key, PEPPER)
    assert principal is not None
    assert (principal.tenant_id, principal.role, principal.actor) == ("default", "editor", "nightly")
    assert principal.expires_at is not None
    listed = keys.invoke(app, ["keys", "list"]).stdout
    assert principal.key_id in listed
    assert "nightly" in listed
    assert key not in listed
    assert keys.invoke(app, ["keys", "revoke", principal.key_id, "--reason", "lost"]).exit_code == 0
    with Session(engine) as session, session.begin():
        assert authenticate(session, key, PEPPER) is None
        reported, _ = TenantCatalog(session, "default").audit.newest(limit=9, entity_id=principal.key_id)
        assert [(entry.action, entry.user_id) for entry in reported] == [("update", "cli"), ("create", "cli")]
    engine.dispose()
    assert principal.key_id not in keys.invoke(app, ["keys", "list"]).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "--name", "x", "--role", "root"], "There is no role"),
        (["create", "--name", "x", "--tenant", "nobody"], "There is no tenant"),
        (["list", "--tenant", "nobody"], "There is no tenant"),
        (["revoke", "key_none"], "has no key"),
    ],
)
def test_what_cannot_be_says_why(keys: CliRunner, arguments: list[str], message: str) -> None:
    result = keys.invoke(app, ["keys", *arguments])
    assert isinstance(result.exception, HeadraceError)
    assert message in result.exception.message


def test_a_tenant_can_be_made_with_its_first_key(keys: CliRunner) -> None:
    arguments = ["keys", "create", "--name", "first", "--role", "admin", "--tenant", "acme", "--new-tenant"]
    assert keys.invoke(app, arguments).exit_code == 0
    assert "first" in keys.invoke(app, ["keys", "list", "--tenant", "acme"]).stdout


def test_without_a_database_or_the_secret_it_says_what_is_missing(
    keys: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADRACE_KEY_PEPPER")
    assert "secret" in str(keys.invoke(app, ["keys", "create", "--name", "x"]).exception.message)  # type: ignore[union-attr]
    monkeypatch.delenv("HEADRACE_DATABASE_URL")
    assert "No database" in str(keys.invoke(app, ["keys", "list"]).exception.message)  # type: ignore[union-attr]
