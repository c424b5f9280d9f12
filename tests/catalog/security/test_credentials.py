"""Credentials at rest: encrypted for one connector, and encrypted again when the key changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from headrace.catalog.audit.seals import AuditKeys
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.security.credentials import (
    CredentialsUnreadable,
    Keyring,
    NoEncryptionKey,
    Resealed,
    encryption_keys,
    generate_encryption_key,
    reseal_credentials,
)
from headrace.catalog.settings import Settings
from tests.catalog.conftest import add_connector

OLD, NEW = generate_encryption_key(), generate_encryption_key()
SECRET = {"password": "hunter2"}


def resealed(engine: Engine, keys: str) -> Resealed:
    return reseal_credentials(engine, Keyring.parse(keys), AuditKeys(encryption_keys(keys)))


def test_sealed_credentials_show_nothing_and_open_again() -> None:
    ring = Keyring.parse(OLD)
    sealed = ring.seal(SECRET, connector_id="conn_1")
    assert sealed is not None
    assert b"hunter2" not in sealed
    assert sealed != ring.seal(SECRET, connector_id="conn_1")
    assert ring.unseal(sealed, connector_id="conn_1") == SECRET


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none(), min_size=1), st.integers(0, 60))
def test_a_changed_byte_or_another_connector_does_not_open(credentials: dict[str, object], at: int) -> None:
    ring = Keyring.parse(OLD)
    sealed = ring.seal(credentials, connector_id="conn_1")
    assert sealed is not None
    assert ring.unseal(sealed, connector_id="conn_1") == credentials
    position = at % len(sealed)
    broken = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
    for text_, connector in ((broken, "conn_1"), (sealed, "conn_2"), (sealed[:10], "conn_1"), (b"", "conn_1")):
        with pytest.raises(CredentialsUnreadable):
            ring.unseal(text_, connector_id=connector)


def test_nothing_to_seal_needs_no_key() -> None:
    ring = Keyring.parse("")
    assert ring.seal({}, connector_id="conn_1") is None
    assert ring.unseal(None, connector_id="conn_1") == {}
    with pytest.raises(NoEncryptionKey, match="HEADRACE_ENCRYPTION_KEYS"):
        ring.seal(SECRET, connector_id="conn_1")


def test_the_first_key_seals_and_all_open() -> None:
    old, both, new = Keyring.parse(OLD), Keyring.parse(f" {NEW},\n{OLD} "), Keyring.parse(NEW)
    before, after = old.seal(SECRET, connector_id="c"), both.seal(SECRET, connector_id="c")
    assert before is not None
    assert after is not None
    assert both.unseal(before, connector_id="c") == new.unseal(after, connector_id="c") == SECRET
    assert (both.is_current(before), both.is_current(after)) == (False, True)
    with pytest.raises(CredentialsUnreadable, match="not in HEADRACE_ENCRYPTION_KEYS"):
        new.unseal(before, connector_id="c")


@pytest.mark.parametrize(
    "wrong", ["hunter2", OLD[:-4], f"{OLD},x", "é" * 43], ids=["a word", "short", "one of two", "no base64"]
)
def test_a_key_that_is_none_is_refused_without_being_reported(wrong: str) -> None:
    with pytest.raises(ValueError, match="32 random bytes") as refused:
        Settings(database_url="postgresql:///x", key_pepper="p" * 16, encryption_keys=wrong)  # type: ignore[arg-type]
    assert wrong not in str(refused.value)


@pytest.mark.postgres
def test_rotation_seals_every_tenants_credentials_with_the_first_key(
    mine: TenantCatalog, theirs: TenantCatalog, engine: Engine
) -> None:
    for catalog, name in ((mine, "a"), (theirs, "a"), (mine, "b")):
        connector = add_connector(catalog, name)
        connector.auth_sealed = Keyring.parse(OLD).seal({"of": connector.id}, connector_id=connector.id)
    add_connector(mine, "without credentials")
    mine.session.commit()
    assert resealed(engine, f"{NEW},{OLD}") == Resealed(resealed=3, current=0)
    assert resealed(engine, NEW) == Resealed(resealed=0, current=3)
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT id, auth_sealed FROM headrace.connectors WHERE auth_sealed NOTNULL"))
        for connector_id, sealed in stored:
            opened = Keyring.parse(NEW).unseal(bytes(sealed), connector_id=connector_id)
            assert opened == {"of": connector_id}


@pytest.mark.postgres
def test_a_rotation_that_cannot_open_one_changes_none(mine: TenantCatalog, engine: Engine) -> None:
    for name, key in (("a", OLD), ("b", generate_encryption_key())):
        connector = add_connector(mine, name)
        connector.auth_sealed = Keyring.parse(key).seal(SECRET, connector_id=connector.id)
    mine.session.commit()
    query = text("SELECT array_agg(auth_sealed ORDER BY id) FROM headrace.connectors")
    with engine.connect() as connection:
        before = connection.scalar(query)
    with pytest.raises(CredentialsUnreadable):
        resealed(engine, f"{NEW},{OLD}")
    with engine.connect() as connection:
        assert connection.scalar(query) == before
