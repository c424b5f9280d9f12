"""A table and its changes as a source.

The first run makes a replication slot and then reads the table (`snapshot`); the runs after it read changes, from the
stored LSN to the end that the log had when the run began. Each change is read once: the snapshot says which it has
seen, the cursor which are loaded, and the slot keeps all others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.reconnecting import PAUSES, reconnecting
from headrace.connectors.source import Batch, Discovery, Fitting, Partition, Position, Restart, Wanted, numbered_from
from headrace.connectors.sql.columns import Chosen, Rows, chosen, empty
from headrace.connectors.sql.postgresql.changes import slots
from headrace.connectors.sql.postgresql.changes.identity import check_identity, generated_columns
from headrace.connectors.sql.postgresql.changes.names import base_name, new_name
from headrace.connectors.sql.postgresql.changes.progress import CHANGES, Progress, snapshot_cursor
from headrace.connectors.sql.postgresql.changes.publications import check_publication
from headrace.connectors.sql.postgresql.changes.reading import ChangeReading
from headrace.connectors.sql.postgresql.changes.rows import EventRows
from headrace.connectors.sql.postgresql.changes.settings import ChangeSettings, PostgresSettings
from headrace.connectors.sql.postgresql.changes.snapshot import parts_of, read_part
from headrace.connectors.sql.postgresql.dialect import PostgresDialect
from headrace.connectors.sql.postgresql.login import access
from headrace.connectors.sql.postgresql.session import SECONDS, Session, session
from headrace.connectors.sql.relation import Column, Relation, table_name
from headrace.connectors.sql.select import Select
from headrace.connectors.sql.settings import settings_as
from headrace.ir.schema import Field, Schema

BATCH_ROWS = 50_000
"""About how many events a batch has."""
COUNTED = 10_000
"""Messages up to which those that wait are counted."""
HELD_BYTES = 1 << 30
"""The size of the server's log, kept for the slot, from which on a run says so."""
UNMOVED_BYTES = 16 * 1024 * 1024
"""The size of the server's log after which the cursor moves, though no change of the table is in it."""


class ChangeSource:
    """Implements `Source`, `Incremental`, `Acknowledging` and `Closing`."""

    def __init__(self, context: Context) -> None:
        self._settings = settings_as(PostgresSettings, context.settings)
        assert self._settings.changes is not None
        self._changes: ChangeSettings = self._settings.changes
        self._declared = context.fields
        self._reader = context.reader
        self._access = access(context)
        self._dialect = PostgresDialect.of(context)
        self._seconds = self._settings.timeout_seconds or SECONDS
        self._cursors: Mapping[str, Position] = {}
        self._committed: Position | None = None
        self._held = 0
        self.pauses = PAUSES

    @property
    def note(self) -> str | None:
        """None: notes are in `Discovery.notes`."""
        return None

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        """The parts of the snapshot that are loaded, and the LSN up to which changes are."""
        self._cursors = cursors

    def acknowledge(self, cursors: Mapping[str, Position]) -> None:
        """The server may remove its log up to the LSN, when the next discovery asks it."""
        self._committed = cursors.get(CHANGES)

    def fingerprint(self) -> str | None:
        """None: a table has no version to check."""
        return None

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """Empty: no type is inferred."""
        del columns
        return {}

    def close(self) -> None:
        """Closes nothing: each reading has its own connection."""
        self._dialect.close()

    # --- discovery

    def discover(self, *, max_partitions: int) -> Discovery:
        """The parts of the snapshot that have not been read, else one partition with the changes that wait."""
        with self._asking() as asked:
            end = slots.current_lsn(asked)  # before the columns: a change up to here has no other columns than those
            relation = self._look(asked)
            key = self._key(relation)
            check_identity(asked, relation, [column.name for column in key])
            columns = self._columns(relation)
            progress = self._progress(asked, relation)
            if progress is None or progress.missing:
                return self._snapshot(relation, key, columns, progress, asked, max_partitions)
            return self._since(asked, relation, columns, progress, end)

    def _progress(self, asked: Session, relation: Relation) -> Progress | None:
        """Where the cursors are; None if the table has to be read (again)."""
        progress = Progress.of(self._cursors)
        if progress is None:
            slots.check_server(asked)
            return None
        slot = slots.slot_of(asked, progress.slot)
        lost = slot is None or slot.lost or slot.confirmed > progress.start or progress.torn
        if lost or progress.table != relation.own["oid"]:
            if self._changes.on_lost_slot == "snapshot":
                return None
            if not lost:
                raise SourceError(
                    "table_recreated",
                    f"{relation.name} is another table than the one whose changes were read: it was dropped and made "
                    "again.",
                    "Reset the cursors of the pipeline, so that it is read from its beginning.",
                )
            raise slots.slot_lost(progress.slot)
        self._held = slot.held if slot is not None else 0
        if slot is not None and self._committed_lsn(progress.slot) > slot.confirmed:
            slots.advance(asked, progress.slot, self._committed_lsn(progress.slot))
        return progress

    def _committed_lsn(self, slot: str) -> int:
        """The LSN up to which changes of the slot are committed for all targets; 0 if none are."""
        position = self._committed
        return int(position["lsn"]) if position is not None and position["slot"] == slot else 0

    def _snapshot(
        self,
        relation: Relation,
        key: Sequence[Column],
        columns: Sequence[Chosen],
        progress: Progress | None,
        asked: Session,
        most: int,
    ) -> Discovery:
        notes = []
        if progress is None:
            slot = new_name(self._base)
            publication = self._changes.publication or slot
            if self._changes.publication is not None:
                check_publication(asked, publication, relation)
            parts = parts_of(relation, key, self._dialect, self._settings.partitions.partitions, most).as_json()
            if self._cursors:
                notes.append(f"changes of {relation.name} are missing: the table is read again")
            location = {"slot": slot, "publication": publication, "again": bool(self._cursors)}
            missing = [*range(len(parts))]
        else:
            parts, missing = list(progress.parts), progress.missing
            location = {"slot": progress.slot, "publication": progress.publication, "again": False}
        location |= {"table": relation.own["oid"], "parts": parts}
        if not self._changes.snapshot:
            location["parts"], missing = [], [0]
        rows = (relation.rows or 0) // max(1, len(parts)) if self._changes.snapshot else 0
        partitions = [
            Partition(
                index,
                numbered_from(index),
                rows,
                {**location, "part": part if self._changes.snapshot else None},
                counted=False,
                cursor=snapshot_cursor(part) if self._changes.snapshot else CHANGES,
                label=f"{relation.name}, snapshot" + (f" [{part + 1}/{len(parts)}]" if len(parts) > 1 else ""),
            )
            for index, part in enumerate(missing)
        ]
        return self._found(columns, partitions, Restart.NONE, notes)

    def _since(
        self, asked: Session, relation: Relation, columns: Sequence[Chosen], progress: Progress, end: int
    ) -> Discovery:
        rows, partial = 0, True
        if end > progress.start and not progress.rows:
            waiting = slots.waiting(asked, progress.slot, progress.publication, end, COUNTED)
            if waiting is not None:
                rows, partial = waiting[0], not waiting[1]
        if end <= progress.start or not (rows or partial or end - progress.start > UNMOVED_BYTES):
            return self._found(columns, [], Restart.BOUNDARY, [])
        location = {
            "slot": progress.slot,
            "publication": progress.publication,
            "table": progress.table,
            "begins": progress.begins,
            "start": progress.start,
            "rows": progress.rows,
            "end": end,
            "regions": [each.as_json() for each in progress.regions],
        }
        first = numbered_from(0)
        partition = Partition(
            0, first, rows, location, counted=False, cursor=CHANGES, label=f"{relation.name}, changes"
        )
        kept = f"the server keeps {self._held / 1e9:,.1f} GB of its log for the slot {progress.slot}"
        return self._found(columns, [partition], Restart.BOUNDARY, [kept] if self._held > HELD_BYTES else [])

    def _found(
        self, columns: Sequence[Chosen], partitions: Sequence[Partition], restart: Restart, notes: Sequence[str]
    ) -> Discovery:
        extra = self._extra
        sure = {each.field.name for each in columns if each.sure} | {field.name for field in extra}
        return Discovery(
            (*(each.field for each in columns), *extra),
            partitions,
            sum(each.rows for each in partitions),
            None,
            frozenset(sure if self._keeps_all else {field.name for field in extra}),
            notes=tuple(notes),
            restart=restart,
        )

    def sample(self, rows: int) -> pl.DataFrame:
        """The first rows of the table, as a snapshot has them."""
        relation = self._look()
        kept = self._columns(relation)
        reader = Rows(kept, (), 1, checked=False)
        taken, done = [empty(tuple(each.field for each in kept))], 0
        for raw in self._dialect.read(Select(relation, reader.asked, limit=rows), rows=rows, snapshot=None):
            batch = reader.batch(raw, done)
            done = batch.rows_done
            taken.append(batch.frame)
        frame = pl.concat(taken)
        return frame.with_columns(
            pl.lit("r" if field.name == self._changes.operation else None)
            .cast(_DTYPES[field.data_type])
            .alias(field.name)
            for field in self._extra
        )

    # --- reading

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """Positions are after whole transactions, except in one that is too large for a batch. Reconnects where reading
        can continue after the last batch."""
        yield from reconnecting(
            lambda done, after: self._read(partition, schema, wanted, done, after),
            rows_done,
            position,
            pauses=self.pauses,
            can_go_on="part" not in partition.location,
        )

    def _read(
        self,
        partition: Partition,
        schema: Schema,
        wanted: Wanted | None,
        rows_done: int,
        position: Position | None,
    ) -> Iterator[Batch]:
        relation = self._look()
        if relation.own["oid"] != partition.location["table"]:
            raise SourceError("missing_table", f"{relation.name} was dropped and made again.", "Start a new run.")
        extra = {field.name for field in self._extra}
        fields = [field for field in schema if wanted is None or field.name in wanted.columns]
        kept = chosen(relation, [field.name for field in fields if field.name not in extra], tuple(
            field for field in schema if field.name not in extra))  # fmt: skip
        rows = EventRows(relation, kept, self._changes, tuple(fields), partition.first_row)
        if "part" in partition.location:
            yield from self._read_part(relation, partition.location, kept, rows)
        else:
            size = min(BATCH_ROWS, (wanted.batch_rows if wanted is not None else None) or BATCH_ROWS)
            reading = ChangeReading(
                self._asking, relation, self._key(relation), kept, rows, self._changes, keeps_all=self._keeps_all
            )
            yield from reading.batches(partition.location, size, rows_done, position)

    def _read_part(
        self, relation: Relation, place: Mapping[str, Any], kept: Sequence[Chosen], rows: EventRows
    ) -> Iterator[Batch]:
        position = {name: place[name] for name in ("slot", "publication", "table")}
        with self._asking() as making:
            begins = 0
            if self._runs:
                ours = self._changes.publication is None
                begins = slots.make_slot(making, place["slot"], self._base, place["publication"], relation, ours=ours)
        position["begins"] = begins
        if place["part"] is None:
            yield rows.nothing(0, {**position, "lsn": begins})
            return
        part = place["parts"][place["part"]]
        position["parts"] = place["parts"]
        first = bool(place["again"]) and place["part"] == 0 and self._changes.on_truncate == "apply"
        with session(self._access, self._what, seconds=self._seconds) as keeping:
            asked = [each.asked for each in kept]
            yield from read_part(keeping, self._dialect, relation, asked, rows, part, position, first=first)

    # --- what is read

    def _asking(self) -> AbstractContextManager[Session]:
        """A session whose statements are executed each at its time."""
        return slots.changes_session(self._access, self._what, self._seconds)

    @property
    def _what(self) -> str:
        return f"{self._settings.table} (changes)"

    @property
    def _runs(self) -> bool:
        return self._reader is not None and self._reader.runs

    @property
    def _base(self) -> str:
        reader = self._reader
        return base_name(reader.pipeline, reader.node) if reader is not None else base_name("none", "src")

    @property
    def _keeps_all(self) -> bool:
        """Whether a value that may be of a later change is taken, because that change follows."""
        chosen_by_user = self._changes.unchanged_values
        if chosen_by_user is not None:
            return chosen_by_user == "current"
        return self._reader is None or self._reader.load_modes <= {"cdc_mirror"}

    @property
    def _extra(self) -> Schema:
        """The columns besides those of the table."""
        return (Field(self._changes.operation, "text"), *self._changes.columns.values())

    def _look(self, asked: Session | None = None) -> Relation:
        """The table as it is now, without generated columns."""
        if asked is None:
            with self._asking() as opened:
                return self._look(opened)
        name = table_name(self._settings.table or "")
        if name is None:
            raise SourceError("bad_table", f"'{self._settings.table}' is not a table name.", "Write schema.table.")
        relation = self._dialect.table(name)
        if relation.own["relkind"] not in "rp":
            raise SourceError("bad_table", f"{relation.name} is a {relation.kind}: it has no changes.", "Name a table.")
        generated = {*generated_columns(asked, relation)}
        named = [*(self._settings.columns or ()), *(field.name for field in self._declared)]
        if wrong := sorted(generated.intersection(named)):
            raise SourceError(
                "bad_option",
                f"'{wrong[0]}' of {relation.name} is generated by the server: its log does not have it.",
                "Leave it out, and compute it with a transform.",
            )
        return replace(relation, columns=tuple(each for each in relation.columns if each.name not in generated))

    def _key(self, relation: Relation) -> tuple[Column, ...]:
        return tuple(relation.column(name, "key") for name in self._settings.key or relation.key)

    def _columns(self, relation: Relation) -> tuple[Chosen, ...]:
        extra = {field.name for field in self._extra}
        columns = chosen(relation, self._settings.columns, tuple(f for f in self._declared if f.name not in extra))
        clash = sorted(extra & {each.field.name for each in columns})
        if clash:
            raise SourceError(
                "bad_option",
                f"{relation.name} has a column '{clash[0]}' itself.",
                "Set changes.operation to __op, rename the metadata, or name the table's columns in 'columns'.",
            )
        for each in columns:
            if each.column.kind == "money":
                raise SourceError(
                    "bad_option",
                    f"Changes of '{each.field.name}' cannot be read: money is written in the server's own way.",
                    "Leave it out with 'columns', or make it numeric.",
                )
        return columns


_DTYPES: dict[str, Any] = {"text": pl.String, "bigint": pl.Int64, "timestamptz": pl.Datetime("us", "UTC")}
