"""With write access to the database but no key, changes and truncation of the audit log are detected by the seal and
the witness."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs
from typer.testing import CliRunner

from headrace.api.monitoring.collectors import AuditCollector
from headrace.catalog.audit.seals import AuditKeys, Seal
from headrace.catalog.audit.witness import Witness
from headrace.catalog.engine import downgrade, make_engine, upgrade
from headrace.catalog.models import AuditHead
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.audit import Verification
from headrace.catalog.security.credentials import Keyring, encryption_keys, generate_encryption_key, reseal_credentials
from headrace.deployments.cli.app import app
from headrace.deployments.sync.audit_sealer import AuditSealer
from tests.api.conftest import Facade
from tests.catalog.conftest import add_connector, engine, mine, session  # noqa: F401
from tests.catalog.tampering import tamper
from tests.databases import Roles

pytestmark = pytest.mark.postgres

PEPPER = b"a pepper of sixteen or more"
KEYS = AuditKeys([b"the key that is not in the database", PEPPER])
HASHES = """
    UPDATE headrace.audit_log l SET prev_hash = coalesce((
        SELECT p.integrity_hash FROM headrace.audit_log p
        WHERE p.tenant_id = l.tenant_id AND p.sequence = l.sequence - 1), repeat('0', 64))
    WHERE tenant_id = 'default' AND sequence = :n"""
OWN = """
    UPDATE headrace.audit_log l
    SET integrity_hash = encode(sha256(convert_to(headrace.audit_content(l), 'UTF8')), 'hex')
    WHERE tenant_id = 'default' AND sequence = :n"""
HEAD = """
    UPDATE headrace.audit_heads h SET (sequence, integrity_hash) = (
        SELECT sequence, integrity_hash FROM headrace.audit_log l WHERE l.tenant_id = h.tenant_id
        ORDER BY sequence DESC LIMIT 1) WHERE tenant_id = 'default'"""


class World:
    """A database with a log, its sealer, and an attacker who owns the database."""

    def __init__(self, database: Engine, attacker: Engine, catalog: TenantCatalog, file: Path) -> None:
        self.engine, self.attacker, self.catalog, self.file = database, attacker, catalog, file
        self.sealer = AuditSealer(database, KEYS, Witness(file))

    def write(self, count: int = 3) -> int:
        for _ in range(count):
            add_connector(self.catalog, f"files {uuid4()}")
            self.catalog.session.commit()
        return self.length()

    def length(self) -> int:
        with self.engine.connect() as connection:
            query = text("SELECT coalesce(max(sequence), 0) FROM headrace.audit_log WHERE tenant_id = 'default'")
            return int(connection.scalar(query) or 0)

    def verified(self, keys: AuditKeys = KEYS, witness: Witness | None = None) -> Verification:
        with Session(self.engine) as reading:
            return TenantCatalog(reading, "default").audit.verify(keys, witness or Witness(self.file))

    def computed_anew(self, first: int) -> None:
        """The attacker makes the chain whole again from an entry on, as everybody can who reads the code."""
        for number in range(first, self.length() + 1):
            tamper(self.attacker, HASHES, n=number)
            tamper(self.attacker, OWN, n=number)
        tamper(self.attacker, HEAD)

    def cut(self, kept: int) -> None:
        tamper(self.attacker, "DELETE FROM headrace.audit_log WHERE tenant_id = 'default' AND sequence > :n", n=kept)
        tamper(self.attacker, HEAD)

    def seal(self) -> Seal | None:
        with Session(self.engine) as reading:
            head = reading.get(AuditHead, "default")
            return None if head is None else Seal.of(head)

    def put(self, seal: Seal | None) -> None:
        values: dict[str, Any] = dict.fromkeys("shkm")
        if seal is not None:
            values = {"s": seal.sequence, "h": seal.integrity_hash, "k": seal.key, "m": seal.mac}
        statement = "UPDATE headrace.audit_heads SET sealed_sequence=:s, sealed_hash=:h, seal_key=:k, seal=:m"
        tamper(self.attacker, f"{statement} WHERE tenant_id = 'default'", **values)


@pytest.fixture
def attacker(roles: Roles) -> Iterator[Engine]:
    """The superuser's: other roles may add entries and not even try to change one."""
    owned = make_engine(roles.superuser)
    yield owned
    owned.dispose()


@pytest.fixture
def world(engine: Engine, attacker: Engine, mine: TenantCatalog, tmp_path: Path) -> World:  # noqa: F811
    found = World(engine, attacker, mine, tmp_path / "audit-heads.json")
    found.write(5)
    found.sealer.step()
    assert found.verified() == found.verified(witness=Witness(None))
    assert (found.verified().intact, found.verified().sealed) == (True, found.length())
    return found


def test_a_log_that_was_computed_again_is_found(world: World) -> None:
    tamper(
        world.attacker,
        "UPDATE headrace.audit_log SET user_name = 'nobody' WHERE sequence = 3 AND tenant_id = 'default'",
    )
    assert world.verified().broken_reason == "hash_mismatch"
    world.computed_anew(3)
    with Session(world.engine) as reading:  # the chain itself has nothing against it
        assert TenantCatalog(reading, "default").audit.verify().intact
    for witness in (Witness(world.file), Witness(None)):
        found = world.verified(witness=witness)
        assert (found.intact, found.broken_reason) == (False, "seal_mismatch")


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_a_tail_that_was_cut_off_is_found_by_the_seal(world: World, kept: int) -> None:
    world.cut(kept) if kept else tamper(world.attacker, "DELETE FROM headrace.audit_log WHERE tenant_id = 'default'")
    for witness in (Witness(world.file), Witness(None)):
        assert not world.verified(witness=witness).intact
    assert world.seal() is not None


def test_a_tail_that_was_cut_off_with_its_seal_is_found_by_the_witness(world: World) -> None:
    before, length = world.seal(), world.length()
    world.write(3)
    world.sealer.step()
    world.cut(length)
    world.put(before)  # everything in the database is now as it was
    assert world.verified(witness=Witness(None)).intact
    found = world.verified()
    assert (found.intact, found.broken_reason) == (False, "tail_missing")


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_cut_is_not_sealed_again_however_much_comes_after_it(world: World, restart: bool) -> None:
    before, length = world.seal(), world.length()
    world.write(3)
    world.sealer.step()
    world.cut(length)
    world.put(before)
    world.write(5)
    sealer = AuditSealer(world.engine, KEYS, Witness(world.file)) if restart else world.sealer
    with capture_logs() as reported:
        sealer.step()
    assert world.seal() == before
    assert dict(sealer.state.broken) == {"default": "seal_mismatch"}
    assert [each["log_level"] for each in reported if each["event"] == "the audit log is not what was sealed"] == [
        "error"
    ]
    assert world.verified().broken_reason == "seal_mismatch"
    families = {family.name: family.samples[0].value for family in AuditCollector(sealer).collect()}
    assert families["headrace_audit_broken"] == 1


@pytest.mark.parametrize("witness", [True, False])
def test_without_its_seal_a_log_is_not_taken_for_a_new_one(world: World, witness: bool) -> None:
    world.cut(2)
    world.put(None)
    if not witness:  # the file is gone too; the process remembers
        world.file.unlink()
    world.sealer.step()
    assert world.seal() is None
    assert dict(world.sealer.state.broken) == {"default": "seal_missing"}
    if witness:
        assert world.verified().broken_reason == "tail_missing"


def test_a_log_that_is_gone_altogether_is_reported(world: World) -> None:
    tamper(world.attacker, "DELETE FROM headrace.audit_log WHERE tenant_id = 'default'")
    tamper(world.attacker, "DELETE FROM headrace.audit_heads WHERE tenant_id = 'default'")
    world.sealer.step()
    assert dict(world.sealer.state.broken) == {"default": "tail_missing"}
    assert world.verified().broken_reason == "tail_missing"


def test_a_seal_cannot_be_made_without_the_key_or_taken_from_another_tenant(world: World) -> None:
    seal = world.seal()
    assert seal is not None
    guesses = [
        AuditKeys([b"another key"]).seal("default", seal.sequence, seal.integrity_hash),
        KEYS.seal("other", seal.sequence, seal.integrity_hash),
        Seal(seal.sequence, seal.integrity_hash, seal.key, hashlib.sha256(seal.integrity_hash.encode()).hexdigest()),
        Seal(seal.sequence, seal.integrity_hash, seal.key, ""),
        Seal(seal.sequence - 1, seal.integrity_hash, seal.key, seal.mac),
    ]
    reasons = []
    for guess in guesses:
        world.put(guess)
        reasons.append(world.verified(witness=Witness(None)).broken_reason)
    assert reasons == ["seal_key_unknown", *["seal_mismatch"] * 4]


def test_the_database_holds_nothing_that_seals(world: World) -> None:
    with world.engine.connect() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'headrace'")).all()
        whole = "".join(str(connection.execute(text(f"SELECT * FROM headrace.{name}")).all()) for name in tables)
        functions = "".join(
            connection.scalars(text("SELECT prosrc FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace"))
        )
    for key in KEYS._keys.values():
        assert key.hex() not in whole + functions
    assert "the key that is not in the database" not in whole + functions


def test_several_sealers_agree_and_each_remembers_what_others_sealed(world: World, tmp_path: Path) -> None:
    other = AuditSealer(world.engine, KEYS, Witness(tmp_path / "elsewhere.json"))
    for _ in range(3):
        world.write(2)
        world.sealer.step()
        other.step()
        other.step()
        assert json.loads(world.file.read_text()) == json.loads((tmp_path / "elsewhere.json").read_text())
    assert world.verified(witness=Witness(tmp_path / "elsewhere.json")).intact
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600


def test_every_seal_is_a_line_for_whoever_collects_logs(world: World) -> None:
    world.write(1)
    with capture_logs() as reported:
        world.sealer.step()
        world.sealer.step()
    [line] = [each for each in reported if each["event"] == "audit log sealed"]
    assert KEYS.verifies(line["tenant"], Seal(line["sequence"], line["hash"], line["key"], line["seal"]))
    assert line["sequence"] == world.length()


def test_a_witness_that_cannot_be_written_does_not_stop_the_sealing_and_is_reported(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    sealer = AuditSealer(world.engine, KEYS, Witness(tmp_path / "file" / "audit-heads.json"))
    world.write(1)
    with capture_logs() as reported:
        sealer.step()
    assert "the witness of the audit log cannot be kept" in [each["event"] for each in reported]


def test_rotated_keys_seal_again_and_the_old_one_may_go(world: World) -> None:
    old, new = generate_encryption_key(), generate_encryption_key()

    def keys(*ring: str) -> AuditKeys:
        return AuditKeys([*(encryption_keys(",".join(ring)) if ring else []), PEPPER])

    world.file.unlink()
    world.put(None)
    sealer = AuditSealer(world.engine, keys(old), Witness(world.file))
    sealer.step()
    assert world.verified(keys(old)).sealed == world.length()
    assert world.verified(keys(new)).broken_reason == "seal_key_unknown"
    assert world.verified(keys(new, old)).intact
    ring = f"{new},{old}"
    reseal_credentials(world.engine, Keyring.parse(ring), AuditKeys(encryption_keys(ring)))
    assert world.verified(keys(new)).sealed == world.length()
    # the sealer does the same by itself, and a log that was changed meanwhile is not sealed again by either
    world.put(keys(old).seal("default", 2, "0" * 64))
    reseal_credentials(world.engine, Keyring.parse(ring), AuditKeys(encryption_keys(ring)))
    AuditSealer(world.engine, keys(new, old), Witness(world.file)).step()
    assert world.verified(keys(new, old)).broken_reason == "seal_mismatch"


def test_a_log_from_before_is_sealed_as_a_whole_and_migrations_go_back(
    engine: Engine,  # noqa: F811
    attacker: Engine,
    mine: TenantCatalog,  # noqa: F811
    owner_url: str,
    tmp_path: Path,
) -> None:
    world = World(engine, attacker, mine, tmp_path / "audit-heads.json")
    engine.dispose()
    downgrade(owner_url, "0008_dataset_rules")
    with engine.begin() as connection:
        connection.execute(
            text("SELECT headrace.audit_append('default','a','b','c','d',NULL,NULL,NULL) FROM generate_series(1, 50)")
        )
    upgrade(owner_url)
    engine.dispose()
    assert (world.verified().intact, world.verified().sealed) == (True, 0)
    world.sealer.step()
    assert (world.verified().intact, world.verified().sealed) == (True, world.length())
    assert world.length() >= 50


def test_an_operator_accepts_a_restored_log_and_that_is_in_it(world: World, owner_url: str, tmp_path: Path) -> None:
    before, length = world.seal(), world.length()
    world.write(2)
    world.sealer.step()
    world.cut(length)
    world.put(before)
    ring = generate_encryption_key()
    environment = {"HEADRACE_ENCRYPTION_KEYS": ring, "HEADRACE_KEY_PEPPER": PEPPER.decode()}
    command = ["keys", "accept-audit-log", "--reason", "backup of Monday", "--database-url", owner_url]
    run = CliRunner().invoke(
        app, [*command, "--witness", str(world.file), "--data-dir", str(tmp_path)], env=environment
    )
    assert run.exit_code == 0, run.output
    keys = AuditKeys([*encryption_keys(ring), PEPPER])
    found = world.verified(keys)
    assert (found.intact, found.sealed) == (True, length + 1)
    with Session(world.engine) as reading:
        [entry], _ = TenantCatalog(reading, "default").audit.newest(limit=1)
    assert (entry.action, entry.entity_type) == ("accept", "audit_log")
    assert entry.after is not None
    assert entry.after["reason"] == "backup of Monday"
    assert str(length + 2) in json.dumps(entry.before)
    world.write(1)
    AuditSealer(world.engine, keys, Witness(world.file)).step()
    assert world.verified(keys).sealed == world.length()


def test_over_rest_a_broken_seal_is_reported_in_documented_words(facade: Facade, tmp_path: Path) -> None:
    path = "/api/v1/audit-logs/verify"
    sealer = facade.app.state.services.audit_sealer
    sealer.step()
    whole = facade.admin.get(path).json()
    assert (whole["intact"], whole["sealed"]) == (True, whole["total"])
    with facade.engine.begin() as connection:
        connection.execute(text("UPDATE headrace.audit_heads SET seal = 'x' WHERE tenant_id = 'default'"))
    try:
        broken = facade.admin.get(path).json()
        assert (broken["intact"], broken["brokenReason"], broken["brokenSeal"]) == (
            False,
            "hash_mismatch",
            "seal_mismatch",
        )
        assert "headrace_audit_sealed_entries" in facade.anonymous.get("/metrics").text
    finally:
        with facade.engine.begin() as connection:
            connection.execute(text("UPDATE headrace.audit_heads SET sealed_sequence = NULL, seal = NULL"))
        sealer.witness._seen.clear()
