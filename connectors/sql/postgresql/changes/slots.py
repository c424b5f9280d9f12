"""Replication slots and publications of a source server, by ordinary SQL.

A slot is read with `pg_logical_slot_get_binary_changes` instead of the replication protocol: psycopg has no client of
that protocol, an ordinary connection passes where the table can be read (`pg_hba.conf`, TLS, poolers in session mode),
it needs no WAL sender, and the server ends each answer with a whole transaction. So that reading moves nothing that is
not committed in the target, a run reads a temporary copy of the slot, which ends with its connection however that
ends. The slot itself follows the stored cursor. The price: the server decodes its log again from the slot's
`restart_lsn` for each answer, which is why answers are large.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.changes.names import PREFIX
from headrace.connectors.sql.postgresql.changes.publications import check_publication, publish
from headrace.connectors.sql.postgresql.login import Access
from headrace.connectors.sql.postgresql.session import Session, lasting
from headrace.connectors.sql.postgresql.types import quoted, text_literal
from headrace.connectors.sql.relation import Relation

OLDEST_VERSION = 140_000
"""The oldest server whose changes are read, and the oldest that the tests run."""

_LOCK = 0x4EAD_2AD7
_PLUGIN = "pgoutput"

_STATE = """
SELECT s.plugin::text, s.database::text = current_database(), s.wal_status::text,
       (s.confirmed_flush_lsn - '0/0')::bigint, coalesce((pg_current_wal_lsn() - s.restart_lsn)::bigint, 0)
FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s
"""

_SERVER = """
SELECT current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), r.rolreplication OR r.rolsuper
         OR EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname IN ('rds_replication', 'rds_superuser')
                    AND pg_catalog.pg_has_role(current_user, p.oid, 'MEMBER')),
       (SELECT count(*) FROM pg_catalog.pg_replication_slots), current_setting('max_replication_slots')::int
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""

_OURS = """
SELECT slot_name::text, active, coalesce((pg_current_wal_lsn() - restart_lsn)::bigint, 0), coalesce(wal_status, '')
FROM pg_catalog.pg_replication_slots
WHERE database = current_database() AND slot_name LIKE %s AND NOT temporary ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of this database. `confirmed` is the LSN up to which it was read, `held` the bytes of the server's log
    that are kept for it; `lost`: changes may be missing."""

    confirmed: int
    held: int
    lost: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A slot of Headrace, for people."""

    name: str
    active: bool
    held: int
    lost: bool


def lsn_text(lsn: int) -> str:
    """`0/16B3748`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@contextmanager
def changes_session(access: Access, what: str, seconds: float) -> Iterator[Session]:
    """A session without a transaction, whose statements are executed each at its time."""
    connection = access.connect()
    try:
        yield lasting(connection, what, seconds=seconds)
    finally:
        connection.close()


def current_lsn(session: Session) -> int:
    """The end of the log that is on the server's disk."""
    return int(session.rows("SELECT (pg_catalog.pg_current_wal_flush_lsn() - '0/0')::bigint")[0][0])


def slot_of(session: Session, name: str) -> Slot | None:
    """The slot, if there is one. Raises SourceError(`slot_of_others`)."""
    found = session.rows(_STATE, [name])
    if not found:
        return None
    plugin, here, status, confirmed, held = found[0]
    if plugin != _PLUGIN or not here:
        raise SourceError(
            "slot_of_others", f"The slot {name} is another database's or plugin's.", "Drop it, or rename the pipeline."
        )
    return Slot(confirmed or 0, held, lost=status == "lost" or confirmed is None)


def check_server(session: Session) -> str:
    """A sentence about the server's slots. Raises SourceError for one that cannot give changes, or a login that may
    not read them."""
    if session.version < OLDEST_VERSION:
        raise SourceError(
            "no_changes",
            f"The server is PostgreSQL {session.version_name}: changes are read from version "
            f"{OLDEST_VERSION // 10_000} on.",
            f"Use PostgreSQL {OLDEST_VERSION // 10_000} or newer, or a cursor instead of changes.",
        )
    level, standby, may, used, most = session.rows(_SERVER)[0]
    if level != "logical":
        raise SourceError(
            "no_changes",
            f"The server's wal_level is {level}: its log has no changes of rows.",
            "Set wal_level = logical in postgresql.conf (rds.logical_replication = 1 on Amazon RDS) and restart it.",
        )
    if standby:
        raise SourceError(
            "no_changes", "The server is a standby, where no publication can be made.", "Connect to the primary."
        )
    if not may:
        raise SourceError(
            "not_permitted",
            "The login may not use replication slots.",
            "ALTER ROLE … REPLICATION; on Amazon RDS, GRANT rds_replication TO …",
        )
    return f"{used} of {most} replication slots are used"


def ability(session: Session) -> tuple[str, list[Kept]]:
    """For a connection test: whether changes can be read, and why not, and the slots that Headrace keeps there."""
    kept = kept_slots(session, PREFIX)
    try:
        text = f"changes can be read: {check_server(session)}"
    except SourceError as error:
        return f"changes of rows cannot be read: {error.message[0].lower()}{error.message[1:]} {error.hint}", kept
    [(may,)] = session.rows("SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')")
    if not may:
        text += "; the login may not make publications (GRANT CREATE ON DATABASE, or name one in changes.publication)"
    return text, kept


def make_slot(session: Session, name: str, base: str, publication: str, relation: Relation, *, ours: bool) -> int:
    """Makes the slot, and with `ours` its publication, unless they are there; returns the LSN from which it has all
    changes. Slots of the same source node that a run before left are dropped. Waits for transactions that are open.
    Raises SourceError(`not_permitted`, `no_slot_free`, `slot_lost`)."""
    session.rows("SELECT pg_catalog.pg_advisory_lock(%s, hashtext(%s))", [_LOCK, base])
    for old in kept_slots(session, base):
        if old.name != name and not old.active:
            drop_slot(session, old.name)
    if (found := slot_of(session, name)) is None:
        if ours:
            publish(session, publication, relation)
        check_publication(session, publication, relation)
        making = "SELECT (lsn - '0/0')::bigint FROM pg_catalog.pg_create_logical_replication_slot(%s, %s)"
        with _explaining():
            return int(session.rows(making, [name, _PLUGIN])[0][0])
    if found.lost:
        raise slot_lost(name)
    return found.confirmed


def slot_lost(name: str) -> SourceError:
    """The error of a slot that does not have all changes any more."""
    return SourceError(
        "slot_lost",
        f"The replication slot {name} is gone, or the server has removed changes that it kept for it: some of them can "
        "no longer be read.",
        "Reset the cursors of the pipeline, so that the table is read again (`headrace cursors`), or set "
        "changes.onLostSlot to snapshot. Raise max_slot_wal_keep_size at the server if runs are rare.",
    )


@contextmanager
def temporary_copy(session: Session, name: str, lsn: int) -> Iterator[str]:
    """A copy of the slot that has been read up to an LSN, and that only this session sees. Raises SourceError
    (`slot_lost`, `no_slot_free`)."""
    copy = f"{PREFIX}read_{secrets.token_hex(8)}"
    with _explaining():
        session.rows("SELECT FROM pg_catalog.pg_copy_logical_replication_slot(%s, %s, true)", [name, copy])
    found = slot_of(session, copy)
    if found is None or found.lost:
        raise slot_lost(name)
    if found.confirmed < lsn:
        session.rows("SELECT FROM pg_catalog.pg_replication_slot_advance(%s, %s::pg_lsn)", [copy, lsn_text(lsn)])
    yield copy


def changes_statement(slot: str, publication: str, end: int, most: int) -> str:
    """The statement for the messages of at least `most` changes, or those up to an LSN; whole transactions."""
    names = text_literal(quoted(publication))
    options = f"'proto_version', '1', 'publication_names', {names}"
    given = f"{text_literal(slot)}, '{lsn_text(end)}', {most}, {options}"
    answer = f" FROM pg_catalog.pg_logical_slot_get_binary_changes({given})"
    return f"SELECT data{answer}"


def waiting(session: Session, slot: str, publication: str, end: int, most: int) -> tuple[int, bool] | None:
    """How many changes wait up to an LSN, and whether these are all; None while another session reads the slot."""
    peek = (
        "SELECT count(*) FILTER (WHERE get_byte(data, 0) IN (68, 73, 84, 85)), count(*) "
        "FROM pg_catalog.pg_logical_slot_peek_binary_changes(%s, %s::pg_lsn, %s, 'proto_version', '1', "
        "'publication_names', %s)"
    )
    try:
        changes, messages = session.rows(peek, [slot, lsn_text(end), most, quoted(publication)])[0]
    except SourceError as error:
        if error.code == "in_use":
            return None
        raise
    return int(changes), int(messages) < most


def advance(session: Session, name: str, lsn: int) -> None:
    """Lets the server remove its log up to an LSN. Left for the next time while another session reads the slot."""
    try:
        session.rows("SELECT FROM pg_catalog.pg_replication_slot_advance(%s, %s::pg_lsn)", [name, lsn_text(lsn)])
    except SourceError as error:
        if error.code != "in_use":
            raise


def kept_slots(session: Session, prefix: str) -> list[Kept]:
    """The slots of this database whose names begin so."""
    pattern = prefix.replace("_", r"\_") + "%"
    return [Kept(name, active, held, status == "lost") for name, active, held, status in session.rows(_OURS, [pattern])]


def drop_slot(session: Session, name: str) -> None:
    """Drops a slot and the publication that was made with it."""
    session.rows(
        "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots "
        "WHERE slot_name = %s",
        [name],
    )
    if session.rows("SELECT FROM pg_catalog.pg_publication WHERE pubname = %s AND "
                    "pg_catalog.pg_has_role(pubowner, 'USAGE')", [name]):  # fmt: skip
        session.command(f"DROP PUBLICATION IF EXISTS {quoted(name)}")


@contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        if "replication slots are in use" in error.message:
            raise SourceError(
                "no_slot_free",
                "The server has no replication slot free. A run needs one besides that of the pipeline.",
                "Raise max_replication_slots and restart the server, or drop slots that nobody reads.",
            ) from None
        raise
