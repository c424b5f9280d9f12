"""Writes the rows that a later stage gathers: one file per batch and bucket, valid once its ledger row is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import polars as pl
import psycopg

from headrace.connectors.postgresql.ledger.exchange_manifest import SentFiles, read_sent, record_sent, reset_partition
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, read_ledger
from headrace.connectors.postgresql.load.session import SessionLoader
from headrace.connectors.postgresql.modes import LoadSpec
from headrace.connectors.postgresql.tables.quarantine import keep_rows
from headrace.connectors.source import no_rejects
from headrace.connectors.target import CommitCallback, Quarantined, Resume, Written
from headrace.flows.compile.shuffle import ShuffleSide
from headrace.flows.runtime.shuffle.sizes import Size
from headrace.flows.runtime.staging.files import ARROW, PARQUET, StagingFiles

_BUCKET = "__bucket"


_UNENCODED_BUCKETS = 24
"""Up to this many buckets, a few GB, the rows are written as they are in memory: encoding them is then most of the work
of an exchange. More of them would not stay in the machine's memory, and the disk would become slower than encoding."""


def file_name(partition: int, start: int, token: str, size: Size, kind: str) -> str:
    """The file name of the batch that begins after `start` rows of its partition; names sort in the order of the
    rows."""
    return f"p{partition:05}-{start:012}-{token}-{size.rows}-{size.values}{kind}"


def parsed_name(name: str) -> tuple[int, int, str]:
    """(partition, start, token) of a file name."""
    partition, start, token = name.rpartition(".")[0].split("-")[:3]
    return int(partition[1:]), int(start), token


def size_in_name(name: str) -> Size | None:
    """The size of the rows of a file; None for a file of an earlier release."""
    rows_and_values = name.rpartition(".")[0].split("-")[3:]
    return Size(*map(int, rows_and_values)) if rows_and_values else None


def folder(sink: str, side: ShuffleSide) -> str:
    """The folder of all buckets. It contains the layout of the columns, because another attempt may need other columns
    and then sends all rows again, to another folder."""
    return f"{sink}-{side.layout}"


def place(sink: str, side: ShuffleSide, bucket: int) -> str:
    """The folder of one bucket."""
    return f"{folder(sink, side)}/{bucket:04}"


def bucket_of(where: str) -> int:
    """The bucket number of a folder."""
    return int(where.rpartition("/")[2])


def is_committed(sent: Sequence[SentFiles], name: str) -> bool:
    """Whether a file is committed."""
    partition, start, token = parsed_name(name)
    return any((each.partition, each.token) == (partition, token) and each.first <= start < each.upto for each in sent)


class ShuffleWriter(SessionLoader):
    """A PartitionLoader that writes files. File names contain a token per attempt, so that files of a dead attempt are
    never read."""

    def __init__(self, spec: LoadSpec, key: LedgerKey, side: ShuffleSide, *, buckets: int, files: StagingFiles) -> None:
        super().__init__(spec)
        self._key, self._side, self._buckets, self._files = key, side, buckets, files
        self._token = uuid4().hex[:12]
        self._kind = ARROW if files.local and buckets <= _UNENCODED_BUCKETS else PARQUET

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        """Writes a batch to files and commits it with its ledger row; see PartitionLoader.write."""
        before = self.resume
        count, size = self._written(frame, before.rows_done)
        written = Written(0, no_rejects(), held=frame.height)

        def beside(connection: psycopg.Connection[Any], after: Resume) -> None:
            keep_rows(connection, self._spec.root_run_id, self._spec.run_id, quarantined)
            sent = SentFiles(self._key.partition, self._token, before.rows_done, after.rows_done, count, size)
            record_sent(connection, self._key.root_run_id, self._key.target_node, sent)

        return self._commit(self._key, written, on_commit, beside)

    def _written(self, frame: pl.DataFrame, start: int) -> tuple[int, int]:
        """Writes the rows and returns the number of files and their bytes."""
        if frame.is_empty():
            return 0, 0
        frame = frame.select(self._side.schema.names())
        parts: Mapping[tuple[Any, ...], pl.DataFrame] = {(0,): frame}
        if self._buckets > 1:
            parts = frame.with_columns(self._side.bucket(self._buckets).alias(_BUCKET)).partition_by(
                _BUCKET, as_dict=True, include_key=False
            )
        sizes = self._files.write_all(
            {
                (place(self._key.target_node, self._side, int(bucket)), self._name(start, part)): part
                for (bucket,), part in parts.items()
            }
        )
        return len(sizes), sum(sizes)

    def _name(self, start: int, part: pl.DataFrame) -> str:
        return file_name(self._key.partition, start, self._token, Size.of(part), self._kind)

    def _open(self) -> None:
        connection = self._session.connection()
        self.resume = read_ledger(connection, self._key)
        sink, partition = self._key.target_node, self._key.partition
        mine = [each for each in read_sent(connection, self._key.root_run_id, sink) if each.partition == partition]
        connection.commit()
        count = size = 0
        for file in list(self._files.list(folder(sink, self._side))):
            if parsed_name(file.name)[0] != partition:
                continue
            if is_committed(mine, file.name):
                count, size = count + 1, size + file.size
            else:  # of an attempt that died before it committed
                self._files.delete(file.place, file.name)
        whole = (count, size) == (sum(each.files for each in mine), sum(each.bytes for each in mine))
        if self.resume.rows_done and not (whole and mine and mine[-1].upto == self.resume.rows_done):
            # The files are missing (another machine, a cleaned disk): the rows are sent again.
            with connection.transaction():
                reset_partition(connection, self._key)
            self.resume = Resume()
            self._open()
