"""The encryption keys of credentials: generated, stored and rotated; credentials stay readable at all times."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.catalog.bootstrap import ensure_tenant
from headrace.catalog.engine import make_engine
from headrace.catalog.security.credentials import Keyring, generate_encryption_key
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.secrets import (
    add_encryption_key,
    load_encryption_keys,
    load_pepper,
    reseal_with_newest_key,
)
from tests.databases import Roles
from tests.program import headrace_here

SECRET = {"password": "hunter2"}


@pytest.fixture
def catalog_url(migrated: Roles) -> str:
    engine = make_engine(migrated.owner, pool_size=1)
    ensure_tenant(engine, "default")
    engine.dispose()
    return migrated.owner


def store(url: str, key: str) -> None:
    sealed = Keyring.parse(key).seal(SECRET, connector_id="conn_1")
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO headrace.connectors (id, tenant_id, name, type, config, auth_method, auth_sealed, status)"
            " VALUES ('conn_1', 'default', 'c', 'postgresql', '{}', 'basic', %s, 'active')",
            (sealed,),
        )


def opens_with(url: str, key: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT auth_sealed FROM headrace.connectors").fetchone()
    assert row is not None
    return Keyring.parse(key).is_current(row[0])


def test_a_key_is_made_once_for_the_owner_only_beside_the_pepper(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    pepper = load_pepper(path)
    [key] = load_encryption_keys(path)
    assert load_encryption_keys(path) == [key]
    assert load_pepper(path) == pepper != key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    newer = add_encryption_key(path)
    assert (newer[1:], load_encryption_keys(path)) == ([key], newer)


@pytest.mark.postgres
def test_old_keys_are_forgotten_once_nothing_is_sealed_with_them(tmp_path: Path, catalog_url: str) -> None:
    path = tmp_path / "secrets.json"
    [old] = load_encryption_keys(path)
    store(catalog_url, old)
    reseal_with_newest_key(path, [old], catalog_url)
    assert opens_with(catalog_url, old)
    keys = add_encryption_key(path)
    reseal_with_newest_key(path, keys, catalog_url)
    assert load_encryption_keys(path) == keys[:1]
    assert opens_with(catalog_url, keys[0])


@pytest.mark.postgres
def test_no_key_is_forgotten_while_a_credential_does_not_open(tmp_path: Path, catalog_url: str) -> None:
    path = tmp_path / "secrets.json"
    load_encryption_keys(path)
    store(catalog_url, generate_encryption_key())
    keys = add_encryption_key(path)
    with pytest.raises(HeadraceError, match="conn_1"):
        reseal_with_newest_key(path, keys, catalog_url)
    assert load_encryption_keys(path) == keys


@pytest.mark.postgres
def test_the_command_seals_everything_with_the_first_key_given(tmp_path: Path, catalog_url: str) -> None:
    old, new = generate_encryption_key(), generate_encryption_key()
    store(catalog_url, old)

    def rotate(keys: str) -> Any:
        arguments = ["keys", "rotate-encryption", "--data-dir", str(tmp_path), "--database-url", catalog_url]
        return headrace_here(*arguments, HEADRACE_ENCRYPTION_KEYS=keys)

    for wrong, reported in ((new, "Nothing is changed"), ("hunter2", "32 random bytes")):
        done = rotate(wrong)
        assert (done.returncode, reported in done.stderr, "Traceback" in done.stderr) == (1, True, False)
        assert "hunter2" not in done.stderr
    assert opens_with(catalog_url, old)
    done = rotate(f"{new},{old}")
    assert (done.returncode, "1 resealed, 0 were up to date" in done.stdout) == (0, True), done.stderr
    assert opens_with(catalog_url, new)
    assert "0 resealed, 1 were up to date" in rotate(new).stdout


def test_a_folder_without_a_stack_has_no_key_to_rotate(tmp_path: Path) -> None:
    done = headrace_here("keys", "rotate-encryption", "--data-dir", str(tmp_path / "none"))
    assert (done.returncode, "No stack" in done.stderr) == (1, True)
    assert not (tmp_path / "none").exists()
