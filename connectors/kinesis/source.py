"""A data stream as a source: each shard is a partition, from a position of our own to the moment of discovery."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.login import access
from headrace.connectors.kinesis.metadata import columns_of, metadata_of
from headrace.connectors.kinesis.reading import ShardReader, Stretch
from headrace.connectors.kinesis.records import Record, Shard
from headrace.connectors.kinesis.service import PATIENCE_S, Service
from headrace.connectors.kinesis.settings import HORIZON, LATEST, settings_of
from headrace.connectors.kinesis.shards import Beginning, Place, checked, planned
from headrace.connectors.messages.columns import all_columns, own_columns, typed
from headrace.connectors.messages.formats import Layout, layout
from headrace.connectors.messages.looking import first_new, types_of_new
from headrace.connectors.messages.messages import Messages
from headrace.connectors.messages.rows import MessageRows
from headrace.connectors.messages.stored import layout_from, layout_to
from headrace.connectors.source import (
    Batch,
    Discovery,
    Fitting,
    Partition,
    Position,
    Restart,
    StreamFound,
    Wanted,
    numbered_from,
)
from headrace.ir.schema import Schema

BATCH_ROWS = 50_000
"""Records of a batch at most."""
_SAMPLED = 1_000
_SAMPLED_SHARDS = 4
_FOREIGN = (
    "Its key belongs to another shard: set foreignRecords to skip where the producer sends it again, as the KPL does, "
    "else to keep",
    "foreign",
)


class KinesisSource:
    """Implements `Source`, `Incremental` and `Closing`. It restarts at boundaries: a batch read again may be cut
    elsewhere, and the oldest records go."""

    def __init__(self, context: Context, *, patience: float = PATIENCE_S) -> None:
        self._settings = settings_of(context.settings)
        self._access = access(context)
        self._stream = self._settings.stream_name or self._access.place.stream_name
        self._declared = context.fields
        self._metadata = columns_of(self._settings.metadata)
        self._service = Service(self._access, patience=patience)
        self._cursors: Mapping[str, Place] = {}
        self._sampled: Sequence[bytes] = ()

    @property
    def note(self) -> str | None:
        """None: what there is to say is in `Discovery.notes`."""
        return None

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        """The positions after the loaded records, by the shard's id."""
        self._cursors = {name: checked(place, name) for name, place in cursors.items()}

    def fingerprint(self) -> str | None:
        """None: it is live."""
        return None

    def close(self) -> None:
        """Lets the connections go."""
        self._service.close()

    def discover(self, *, max_partitions: int) -> Discovery:
        """A partition for each shard that can be read now, however many those are: each has a cursor of its own. Two
        questions to the service, and some more where nothing declares the columns."""
        del max_partitions
        seen = self._service.summary(self._stream)
        if seen.status == "CREATING":
            raise SourceError("not_ready", f"The stream '{self._stream}' is being created.", "Run it in a minute.")
        now = self._service.now_ms
        plan = planned(
            self._stream,
            seen,
            self._service.shards(self._stream),
            self._cursors,
            self._first(now),
            now,
            goes_on=self._settings.on_missing_offsets == "earliest",
        )
        found = self._layout([shard for shard, _ in plan.shards], [place for _, place in plan.shards])
        if found is None:
            notes = (*plan.notes, "no record says which columns it has")
            return Discovery((), (), 0, None, restart=Restart.BOUNDARY, notes=notes)
        stored = layout_to(found)
        partitions = [
            Partition(
                index,
                numbered_from(index),
                0,
                {
                    "shard": shard.id,
                    "start": dict(place),
                    "now": now,
                    "closed": shard.closed,
                    "hashes": [shard.hashes.first, shard.hashes.last],
                    "layout": stored,
                },
                counted=False,
                cursor=shard.id,
                label=f"{self._stream} {shard.id}",
            )
            for index, (shard, place) in enumerate(plan.shards)
        ]
        columns = all_columns(self._settings, found, self._metadata, self._declared)
        besides = {field.name for field in columns} - {field.name for field in found.fields}
        sure = found.sure | besides
        return Discovery(columns, partitions, 0, None, sure, found.guessed, tuple(plan.notes), Restart.BOUNDARY)

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """Reads all that is new once more."""
        return types_of_new(self, columns)

    def sample(self, rows: int) -> pl.DataFrame:
        """The first of what is new."""
        return first_new(self, rows)

    def found(self) -> StreamFound:
        """The stream of the settings, with its columns."""
        seen = self.discover(max_partitions=1)
        return StreamFound(self._stream, {"streamName": self._stream}, "stream", seen.schema, guessed=seen.guessed)

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """`position` is the one after the last record (see shards.py)."""
        place = partition.location
        chosen = tuple(field for field in schema if wanted is None or field.name in wanted.columns)
        known: MessageRows | None = None
        stretch = Stretch(
            self._stream,
            str(place["shard"]),
            checked(place["start"] if position is None else position, str(place["shard"])),
            int(place["now"]),
            closed=bool(place["closed"]),
            hashes=(int(place["hashes"][0]), int(place["hashes"][1])),
            foreign=self._settings.foreign_records,
        )
        most = min((wanted and wanted.batch_rows) or BATCH_ROWS, BATCH_ROWS)
        for records, after in ShardReader(self._service, stretch).groups(most):
            if known is None:
                found = typed(self._keyed(layout_from(place["layout"]), records), schema)
                made = MessageRows(self._settings, found, chosen, self._metadata, None)
                known = made if records else None
            batch = made.batch(self._as_columns(records, stretch.shard), partition.first_row, rows_done, after)
            rows_done = batch.rows_done
            yield batch

    def _as_columns(self, records: Sequence[Record], shard: str) -> Messages:
        found_of = {name: metadata_of(name, records, shard, self._stream) for name in self._settings.metadata}
        where, numbers = f"{self._stream} {shard}", [(each.sequence, each.part) for each in records]

        def places(among: pl.Series) -> pl.Series:
            of = [numbers[place] for place in among]
            said = [f"{where} {sequence}{'' if part is None else f' part {part}'}" for sequence, part in of]
            return pl.Series("place", said, dtype=pl.String)

        return Messages(
            [each.data or None for each in records],
            places,
            [each.key.encode() for each in records],
            found_of,
            {at: _FOREIGN for at, each in enumerate(records) if each.foreign},
        )

    # --- what there is

    def _first(self, now: int) -> Beginning:
        begin = self._settings.start_ms
        if self._settings.start_at == HORIZON:
            return Beginning()
        if self._settings.start_at == LATEST:
            return Beginning(now, open_only=True)
        if begin is not None and begin > now + 1000:  # it tells its time in seconds
            raise SourceError("bad_option", "config.startAt is in the future.", "Write an earlier time, or LATEST.")
        return Beginning(begin)

    def _layout(self, shards: Sequence[Shard], places: Sequence[Place]) -> Layout | None:
        """Where columns are declared, nothing is looked at: see `_keyed`."""
        own = own_columns(self._settings, self._declared)

        def sample() -> Sequence[bytes]:
            if not self._sampled and not own:
                self._sampled = self._oldest(shards, places)
            return self._sampled

        return layout(self._settings, own, sample, None, self._stream)

    def _keyed(self, found: Layout, records: Sequence[Record]) -> Layout:
        """The layout with the keys that the first records have for columns that are declared by other names."""
        if found.closed or self._settings.format not in ("json", "jsonl"):
            return found
        values = [each.data for each in records[:_SAMPLED] if each.data]
        return layout(self._settings, found.fields, lambda: values, None, self._stream) or found

    def _oldest(self, shards: Sequence[Shard], places: Sequence[Place]) -> list[bytes]:
        """Data of the first records that are read now, else of the oldest that are kept."""
        now = self._service.now_ms
        everyone = self._service.shards(self._stream)
        first = [(shard, place) for shard, place in zip(shards, places, strict=True)]
        kept: list[tuple[Shard, Place]] = [(shard, {}) for shard in reversed(everyone)]
        values: list[bytes] = []
        for some in (first, kept):
            for shard, place in some:
                hashes = (int(shard.hashes.first), int(shard.hashes.last))
                stretch = Stretch(self._stream, shard.id, place, now, False, hashes, "keep")
                records, _ = next(ShardReader(self._service, stretch).groups(_SAMPLED // _SAMPLED_SHARDS), ([], {}))
                values += [each.data for each in records if each.data]
                if len(values) >= _SAMPLED:
                    return values
            if values:
                break
        return values
