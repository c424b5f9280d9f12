"""A webhook as a source: one partition, from the last loaded record to the newest at discovery."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl
import psycopg

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.messages.columns import all_columns, own_columns, typed
from headrace.connectors.messages.formats import layout
from headrace.connectors.messages.looking import first_new, types_of_new
from headrace.connectors.messages.messages import Messages
from headrace.connectors.messages.rows import MessageRows
from headrace.connectors.messages.stored import layout_from, layout_to
from headrace.connectors.source import Batch, Discovery, Fitting, Partition, Position, Restart, Wanted, numbered_from
from headrace.connectors.webhook.metadata import columns_of, metadata_of
from headrace.connectors.webhook.settings import settings_of
from headrace.connectors.webhook.spool import Spool, SpooledRecords, SpoolState
from headrace.ir.schema import Schema

CURSOR = "records"
"""The name of the cursor; its position is `{"sequence": n}`, the number of the last loaded record."""
BATCH_ROWS = 50_000
"""The most records of a batch."""
BATCH_BYTES = 32 << 20
"""Bytes of bodies after which a batch ends."""
_SAMPLED = 1_000


class WebhookSource:
    """Implements `Source`, `Incremental`, `Acknowledging` and `Closing`. It restarts at boundaries: a record may have
    several rows."""

    def __init__(self, context: Context) -> None:
        self._settings = settings_of(context.settings)
        self._spool = spool_of(context)
        self._declared = context.fields
        self._metadata = columns_of(self._settings.metadata)
        self._after: int | None = None
        self._acknowledged: int | None = None
        self._sampled: Sequence[bytes] | None = None

    @property
    def note(self) -> str | None:
        """None: notes are in `Discovery.notes`."""
        return None

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        """The number of the last loaded record."""
        position = cursors.get(CURSOR)
        self._after = None if position is None else _sequence(position)

    def acknowledge(self, cursors: Mapping[str, Position]) -> None:
        """Records that every pipeline has loaded are removed."""
        if (position := cursors.get(CURSOR)) is not None and (seq := _sequence(position)) != self._acknowledged:
            with database_errors():
                self._spool.acknowledge(seq)
            self._acknowledged = seq

    def fingerprint(self) -> str | None:
        """None: it is live."""
        return None

    def close(self) -> None:
        """Closes the connection."""
        self._spool.close()

    def discover(self, *, max_partitions: int) -> Discovery:
        """One partition of what is new, none without news."""
        del max_partitions
        with database_errors():
            if self._after is None:
                self._spool.register()
            state = self._spool.state()
        if state is None:
            raise SourceError("unknown_connector", "The connector of this webhook was deleted.", "Create another one.")
        start, notes = self._start(state)
        found = layout(
            self._settings,
            own_columns(self._settings, self._declared),
            lambda: self._newest(state),
            None,
            "the webhook",
        )
        if found is None:
            none = "nothing that was sent says which columns it has"
            return Discovery((), (), 0, None, restart=Restart.BOUNDARY, notes=(*notes, none))
        partitions = []
        if state.last > start or self._after is None:
            place = {"after": start, "upTo": state.last, "layout": layout_to(found)}
            label = f"records {start + 1:,} to {state.last:,}" if state.last > start else "no records"
            rows = state.last - start
            partitions = [Partition(0, numbered_from(0), rows, place, counted=False, cursor=CURSOR, label=label)]
        columns = all_columns(self._settings, found, self._metadata, self._declared)
        sure = found.sure | ({field.name for field in columns} - {field.name for field in found.fields})
        total = state.last - start
        return Discovery(columns, partitions, total, None, sure, found.guessed, notes, Restart.BOUNDARY)

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """The types of the columns in all new records, which are read for this."""
        return types_of_new(self, columns)

    def sample(self, rows: int) -> pl.DataFrame:
        """The first new records."""
        return first_new(self, rows)

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """`position` is the number of the last record of a batch. Raises SourceError(`offsets_gone`) when a record is
        not there."""
        place = partition.location
        done = int(place["after"]) if position is None else _sequence(position)
        up_to = int(place["upTo"])
        chosen = tuple(field for field in schema if wanted is None or field.name in wanted.columns)
        rows = MessageRows(self._settings, typed(layout_from(place["layout"]), schema), chosen, self._metadata, None)
        most = min((wanted and wanted.batch_rows) or BATCH_ROWS, BATCH_ROWS)
        if done >= up_to:  # the cursor must be stored nevertheless
            yield rows.batch(self._messages(_NOTHING), partition.first_row, rows_done, {"sequence": done})
        while done < up_to:
            with database_errors():
                records = self._spool.read(done, up_to, most=most, size=BATCH_BYTES)
            count = len(records.seqs)
            if not count or records.seqs[-1] != done + count:
                expected = range(done + 1, done + count + 1)
                raise _gone(next((n for n, seq in zip(expected, records.seqs, strict=True) if n != seq), done + 1))
            done += count
            batch = rows.batch(self._messages(records), partition.first_row, rows_done, {"sequence": done})
            rows_done = batch.rows_done
            yield batch

    def _messages(self, records: SpooledRecords) -> Messages:
        numbers = records.seqs

        def places(among: pl.Series) -> pl.Series:
            return pl.Series("place", [f"record {numbers[place]}" for place in among], dtype=pl.String)

        found_of = {name: metadata_of(name, records) for name in self._settings.metadata}
        keys = [None if key is None else key.encode() for key in records.keys]
        return Messages(records.bodies, places, keys, found_of)

    def _start(self, state: SpoolState) -> tuple[int, tuple[str, ...]]:
        """The number after which the run reads, and notes."""
        if self._after is None:
            return (state.last if self._settings.start_at == "latest" else state.freed), ()
        if state.freed <= self._after <= state.last:
            return self._after, ()
        if self._settings.on_missing_offsets == "fail":
            raise _gone(self._after + 1)
        return state.freed, (f"record {self._after + 1:,} is gone: read from {state.freed + 1:,}",)

    def _newest(self, state: SpoolState) -> Sequence[bytes]:
        if self._sampled is None or not self._sampled:
            begin = max(state.freed, state.last - _SAMPLED)
            with database_errors():
                self._sampled = self._spool.read(begin, state.last, most=_SAMPLED, size=BATCH_BYTES).bodies
        return self._sampled


class _Nothing:
    seqs: Sequence[int] = ()
    times: Sequence[int] = ()
    request_ids: Sequence[str] = ()
    keys: Sequence[str | None] = ()
    headers: Sequence[str | None] = ()
    bodies: Sequence[bytes] = ()


_NOTHING = _Nothing()


def spool_of(context: Context) -> Spool:
    """Where the records are. Raises SourceError(`no_spool`) outside of a server."""
    if context.surroundings.spool is None:
        raise _no_spool()
    return context.surroundings.spool


@contextmanager
def database_errors() -> Iterator[None]:
    """Turns errors of the database into a SourceError."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:  # a database without a catalog
        raise _no_spool() from error
    except psycopg.Error as error:
        first = str(error).strip().partition("\n")[0]
        raise SourceError(
            "database_unavailable", f"What was sent to the webhook cannot be read: {first}.", "Retry the run."
        ) from error


def _no_spool() -> SourceError:
    return SourceError(
        "no_spool",
        "What is sent to a webhook is kept by Headrace's API, and there is none here.",
        "Run the pipeline on a server: headrace run.",
    )


def _sequence(position: Position) -> int:
    found = position.get("sequence") if isinstance(position, Mapping) else None
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise SourceError("bad_cursor", f"{position} is no position of a webhook.", 'Set it to {"sequence": 0}.')
    return found


def _gone(seq: int) -> SourceError:
    return SourceError(
        "offsets_gone",
        f"Record {seq:,} of the webhook, which is to be read next, was removed, or never came.",
        "Reset the cursor (headrace cursors), or set onMissingOffsets: earliest to continue with the oldest record.",
    )
