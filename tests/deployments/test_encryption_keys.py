"""The keys that seal credentials: made, kept and rotated, without a credential ever being out of reach."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest

from catalog.bootstrap import ensure_tenant
from catalog.credentials import Keyring, generate_encryption_key
from catalog.engine import make_engine, upgrade
from deployments.stack.encryption import add_encryption_key, load_encryption_keys, settle_encryption_keys
from deployments.stack.errors import StackError
from deployments.stack.secrets import load_pepper
from tests.deployments.test_cli import headrace

SECRET = {"password": "hunter2"}


@pytest.fixture
def catalog_url(database_url: str) -> str:
    upgrade(database_url)
    engine = make_engine(database_url, pool_size=1)
    ensure_tenant(engine, "default")
    engine.dispose()
    return database_url


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
    settle_encryption_keys(path, [old], catalog_url)
    assert opens_with(catalog_url, old)
    keys = add_encryption_key(path)
    settle_encryption_keys(path, keys, catalog_url)
    assert load_encryption_keys(path) == keys[:1]
    assert opens_with(catalog_url, keys[0])


@pytest.mark.postgres
def test_no_key_is_forgotten_while_a_credential_does_not_open(tmp_path: Path, catalog_url: str) -> None:
    path = tmp_path / "secrets.json"
    load_encryption_keys(path)
    store(catalog_url, generate_encryption_key())
    keys = add_encryption_key(path)
    with pytest.raises(StackError, match="conn_1"):
        settle_encryption_keys(path, keys, catalog_url)
    assert load_encryption_keys(path) == keys


@pytest.mark.postgres
def test_the_command_seals_everything_with_the_first_key_given(tmp_path: Path, catalog_url: str) -> None:
    old, new = generate_encryption_key(), generate_encryption_key()
    store(catalog_url, old)

    def rotate(keys: str) -> Any:
        arguments = ["keys", "rotate-encryption", "--data-dir", str(tmp_path), "--url", catalog_url]
        return headrace(*arguments, HEADRACE_ENCRYPTION_KEYS=keys)

    for wrong, told in ((new, "Nothing is changed"), ("hunter2", "32 random bytes")):
        done = rotate(wrong)
        assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (1, True, False)
        assert "hunter2" not in done.stderr
    assert opens_with(catalog_url, old)
    done = rotate(f"{new},{old}")
    assert (done.returncode, "1 sealed anew, 0 were already" in done.stdout) == (0, True), done.stderr
    assert opens_with(catalog_url, new)
    assert "0 sealed anew, 1 were already" in rotate(new).stdout


def test_a_folder_without_a_stack_has_no_key_to_rotate(tmp_path: Path) -> None:
    done = headrace("keys", "rotate-encryption", "--data-dir", str(tmp_path / "none"))
    assert (done.returncode, "No stack" in done.stderr) == (1, True)
    assert not (tmp_path / "none").exists()
