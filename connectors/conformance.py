"""Conformance tests that every source connector passes. They are in the wheel for authors of connectors.

    from headrace.testing import SourceConformance

    class TestOrders(SourceConformance):
        connector = MY_CONNECTOR

        def context(self) -> Context:
            return Context(Connection("c", "mine", {"host": "127.0.0.1"}, {"token": "t"}), Surroundings(...), {...})

pytest finds the tests by the class. Nothing is written to the source; `change` is the only hook that does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl

from headrace.connectors.connector import Connector, Context
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Batch, Bound, Closing, Discovery, Partition, Restart, Source, Wanted

_MANY = 5
_BATCH_ROWS = 100


class SourceConformance:
    """Set `connector` and `context`; the rest is optional. The source should have some hundred rows, enough for several
    partitions and batches."""

    connector: ClassVar[Connector]
    numbers: ClassVar[str | None] = None
    """A column of whole numbers for tests of bounds."""
    rows: ClassVar[int | None] = None
    """The number of rows, if none of them is rejected."""

    def context(self) -> Context:
        """The context that the source is opened with."""
        raise NotImplementedError

    def broken(self) -> Sequence[Context]:
        """Contexts that cannot be read: a wrong login, a name that does not exist."""
        return ()

    def change(self) -> bool:
        """Changes the source's data, so that its fingerprint changes. Returns False if that is not possible."""
        return False

    # --- the tests

    def test_the_rows_of_all_partitions_are_the_rows_of_one(self) -> None:
        with self._opened() as (source, whole), self._opened(_MANY) as (other, parts):
            assert _sorted(_rows(source, whole)).equals(_sorted(_rows(other, parts)))

    def test_a_partition_is_read_by_a_source_that_has_only_its_json(self) -> None:
        with self._opened(_MANY) as (source, found):
            partitions = [_through_json(each) for each in found.partitions]
            assert partitions == [*found.partitions]
            expected = _rows(source, found)
            other = self.connector.source(self.context())
            try:
                frames = [batch.frame for each in partitions for batch in self._read(other, found, each)]
            finally:
                _close(other)
            assert _sorted(pl.concat(frames)).equals(_sorted(expected)) if frames else expected.is_empty()

    def test_reading_goes_on_after_every_batch(self) -> None:
        with self._opened(_MANY) as (source, found):
            if found.restart is Restart.NONE:
                return
            for partition in found.partitions:
                batches = list(self._read(source, found, partition))
                whole = _numbered(batches)
                for batch in batches:
                    if found.restart is Restart.BOUNDARY:
                        assert batch.position is not None, "a batch has no position to go on from"
                    position = json.loads(json.dumps(batch.position))
                    rest = list(self._read(source, found, partition, rows_done=batch.rows_done, position=position))
                    left = whole.filter(pl.col(ROW) >= partition.first_row + batch.rows_done)
                    assert _sorted(_numbered(rest)).rows() == (_sorted(left).rows() if left.height else [])

    def test_a_source_that_restarts_exactly_gives_the_same_order(self) -> None:
        with self._opened(_MANY) as (source, found):
            if found.restart is Restart.EXACT:
                for partition in found.partitions:
                    first, second = (_numbered(list(self._read(source, found, partition))) for _ in range(2))
                    assert first.equals(second)

    def test_rows_are_numbered_and_counted(self) -> None:
        with self._opened(_MANY) as (source, found):
            for partition in found.partitions:
                done = 0
                for batch in self._read(source, found, partition):
                    failed = batch.rejects.get_column("row").unique()
                    numbers = pl.concat([batch.frame.get_column(ROW), failed.alias(ROW)]).sort()
                    if not batch.unread:
                        begin = partition.first_row + done
                        assert numbers.to_list() == list(range(begin, begin + batch.rows))
                    done += batch.rows
                    assert batch.rows_done == done
                assert done == partition.rows or not partition.counted
            assert self.rows is None or _rows(source, found).height == self.rows
            first = [each.first_row for each in found.partitions]
            assert first == sorted(first)
            assert len({*first}) == len(first) or found.total_rows == 0

    def test_columns_have_the_types_that_were_promised(self) -> None:
        with self._opened(1) as (source, found):
            for batch in self._batches(source, found):
                for field in found.schema:
                    assert batch.frame.schema[field.name] == polars_dtype(field), field.name

    def test_no_row_is_rejected_for_a_column_that_is_sure(self) -> None:
        with self._opened(1) as (source, found):
            for batch in self._batches(source, found):
                assert not {*batch.rejects.get_column("column").drop_nulls()} & found.sure

    def test_only_the_columns_that_are_wanted_may_be_asked_for(self) -> None:
        with self._opened(1) as (source, found):
            whole = _rows(source, found)
            names = [field.name for field in found.schema]
            for name in names[:_MANY]:
                kept = frozenset({name} | ({*names} - found.sure))
                frames = [batch.frame for batch in self._batches(source, found, Wanted(kept))]
                assert pl.concat(frames).select(ROW, name).sort(ROW).equals(whole.select(ROW, name).sort(ROW))

    def test_keys_are_those_of_all_rows_whatever_the_cursor(self) -> None:
        if self.connector.keys is None:
            return
        context = self.context()
        with self._opened(1) as (source, found):
            name = found.schema[0].name
            whole = _rows(source, found).select(name)
        kept = tuple(field for field in context.fields if field.name == name)
        keys = replace(context, settings=dict(self.connector.keys(context.settings, [name])), fields=kept)
        source = self.connector.source(keys)
        try:
            found = source.discover(max_partitions=_MANY)
            assert len(found.partitions) <= 1
            frames = [batch.frame for batch in self._batches(source, found, Wanted(frozenset({name})))]
        finally:
            _close(source)
        read = pl.concat(frames).select(name)
        left = whole.height if self.rows is None else self.rows
        assert read.height >= left
        assert whole.join(read, on=name, how="anti").is_empty()

    def test_rows_that_no_filter_keeps_may_be_left_out_and_no_others(self) -> None:
        if self.numbers is None:
            return
        with self._opened(1) as (source, found):
            whole = _rows(source, found)
            value = whole.get_column(self.numbers).drop_nulls().sort()[whole.height // 2]
            columns = frozenset(field.name for field in found.schema)
            bounds = (Bound(self.numbers, ">=", value),)
            frames = [batch.frame for batch in self._batches(source, found, Wanted(columns, bounds))]
            kept = pl.concat(frames).filter(pl.col(self.numbers) >= value)
            expected = whole.filter(pl.col(self.numbers) >= value)
            assert _sorted(kept.drop(ROW)).equals(_sorted(expected.drop(ROW)))

    def test_a_reading_that_is_broken_off_leaves_the_source_readable(self) -> None:
        with self._opened(_MANY) as (source, found):
            whole = _sorted(_rows(source, found))
            for partition in found.partitions:
                reading = self._read(source, found, partition)
                next(reading, None)
                reading.close()  # type: ignore[attr-defined]
            assert _sorted(_rows(source, found)).equals(whole)

    def test_a_source_that_changed_has_another_fingerprint(self) -> None:
        with self._opened(1) as (source, found):
            assert source.fingerprint() == found.fingerprint
            if self.change() and found.fingerprint is not None:
                with self._opened(1) as (_, again):
                    assert again.fingerprint != found.fingerprint

    def test_trying_the_connection_says_what_is_there(self) -> None:
        context = self.context()
        found = self.connector.tried(Context(context.connection, context.surroundings))
        assert found.message
        json.dumps(dict(found.sample))

    def test_what_cannot_be_read_is_an_error_for_a_person(self) -> None:
        for context in self.broken():
            error = self._failure(context)
            assert error is not None, "a source that cannot be read was read"
            assert error.code
            assert error.message
            assert not [secret for secret in _secrets(context.connection.credentials) if secret in str(error)]

    def test_what_is_there_is_listed(self) -> None:
        if self.connector.streams is None:
            return
        context = self.context()
        streams = self.connector.streams(Context(context.connection, context.surroundings), "")
        assert streams
        json.dumps([dict(each.settings) for each in streams])

    # --- helpers

    def _failure(self, context: Context) -> SourceError | None:
        source: Source | None = None
        try:
            source = self.connector.source(context)
            _rows(source, source.discover(max_partitions=1))
        except SourceError as error:
            return error
        finally:
            if source is not None:
                _close(source)
        return None

    def _opened(self, partitions: int = 1) -> _Opened:
        return _Opened(self.connector, self.context(), partitions)

    def _read(self, source: Source, found: Discovery, partition: Partition, **after: Any) -> Iterator[Batch]:
        wanted = Wanted(frozenset(field.name for field in found.schema), batch_rows=_BATCH_ROWS)
        return source.read(partition, found.schema, wanted=wanted, **after)

    def _batches(self, source: Source, found: Discovery, wanted: Wanted | None = None) -> Iterator[Batch]:
        for partition in found.partitions:
            yield from source.read(partition, found.schema, wanted=wanted)


class _Opened:
    """A source that is closed at the end, and what it discovered."""

    def __init__(self, connector: Connector, context: Context, partitions: int) -> None:
        self._source, self._partitions = connector.source(context), partitions

    def __enter__(self) -> tuple[Source, Discovery]:
        return self._source, self._source.discover(max_partitions=self._partitions)

    def __exit__(self, *exc: object) -> None:
        _close(self._source)


def _close(source: Source) -> None:
    if isinstance(source, Closing):
        source.close()


def _rows(source: Source, found: Discovery) -> pl.DataFrame:
    """All rows that can be read, with their numbers."""
    frames = [batch.frame for partition in found.partitions for batch in source.read(partition, found.schema)]
    columns = [ROW, *(field.name for field in found.schema)]
    empty = pl.DataFrame(schema={ROW: pl.Int64, **{field.name: polars_dtype(field) for field in found.schema}})
    return pl.concat([empty.select(columns), *(frame.select(columns) for frame in frames)])


def _numbered(batches: Sequence[Batch]) -> pl.DataFrame:
    frames = [batch.frame.select(sorted(batch.frame.columns)) for batch in batches]
    return pl.concat(frames) if frames else pl.DataFrame(schema={ROW: pl.Int64})


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows in an order that does not depend on where they were read; their numbers do, and are left out."""
    values = frame.drop(ROW, strict=False)
    return values.select(sorted(values.columns)).sort(sorted(values.columns), nulls_last=True)


def _through_json(partition: Partition) -> Partition:
    location = json.loads(json.dumps(dict(partition.location)))
    return Partition(
        partition.index,
        partition.first_row,
        partition.rows,
        location,
        counted=partition.counted,
        cursor=partition.cursor,
        label=partition.label,
    )


def _secrets(credentials: Mapping[str, Any]) -> Iterator[str]:
    public = ("username", "user", "accessKeyId")
    yield from (str(value) for name, value in credentials.items() if name not in public and len(str(value)) > 5)
