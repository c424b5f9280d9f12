"""The loader of rows that a later stage gathers: files, one per batch and bucket, that count when the ledger moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import polars as pl
import psycopg

from connectors.base import CommitCallback, Quarantined, Resume, Written, no_rejects
from connectors.postgresql.ledger import LedgerKey, read_ledger
from connectors.postgresql.modes import LoadSpec
from connectors.postgresql.quarantine import keep_rows
from connectors.postgresql.sent import Sent, begin_again, note_sent, read_sent
from connectors.postgresql.session import SessionLoader
from flows.compile.gather import Side
from flows.runtime.staging_files import StagingFiles

_BUCKET = "__bucket"


def file_name(partition: int, start: int, token: str) -> str:
    """The file of the batch that begins behind `start` rows of its partition; in order of its name within it."""
    return f"p{partition:05}-{start:012}-{token}.parquet"


def parsed_name(name: str) -> tuple[int, int, str]:
    """(partition, start, token) of a file."""
    partition, start, token = name.removesuffix(".parquet").split("-")
    return int(partition[1:]), int(start), token


def folder(sink: str, side: Side) -> str:
    """The folder of all buckets. Another attempt may need other columns, because the table has others now: it sends its
    rows again, to another folder."""
    return f"{sink}-{side.layout}"


def place(sink: str, side: Side, bucket: int) -> str:
    """The folder of one bucket."""
    return f"{folder(sink, side)}/{bucket:04}"


def bucket_of(where: str) -> int:
    """The bucket of a place."""
    return int(where.rpartition("/")[2])


def holds(sent: Sequence[Sent], name: str) -> bool:
    """Whether a file is one of those that count."""
    partition, start, token = parsed_name(name)
    return any((each.partition, each.token) == (partition, token) and each.first <= start < each.upto for each in sent)


class SendingLoader(SessionLoader):
    """See PartitionLoader. Names of files tell attempts apart, so that what a dead one left is never taken for ours."""

    def __init__(self, spec: LoadSpec, key: LedgerKey, side: Side, *, buckets: int, files: StagingFiles) -> None:
        super().__init__(spec)
        self._key, self._side, self._buckets, self._files = key, side, buckets, files
        self._token = uuid4().hex[:12]

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        """See PartitionLoader."""
        before = self.resume
        count, size = self._written(frame, before.rows_done)
        written = Written(0, no_rejects(), held=frame.height)

        def beside(connection: psycopg.Connection[Any], after: Resume) -> None:
            keep_rows(connection, self._spec.root_run_id, self._spec.run_id, quarantined)
            sent = Sent(self._key.partition, self._token, before.rows_done, after.rows_done, count, size)
            note_sent(connection, self._key.root_run_id, self._key.target_node, sent)

        return self._commit(self._key, written, on_commit, beside)

    def _written(self, frame: pl.DataFrame, start: int) -> tuple[int, int]:
        """Writes the rows; gives how many files they are, and their bytes."""
        name, sink = file_name(self._key.partition, start, self._token), self._key.target_node
        if frame.is_empty():
            return 0, 0
        frame = frame.select(self._side.schema.names())
        if self._buckets == 1:
            return 1, self._files.write(place(sink, self._side, 0), name, frame)
        parts = frame.with_columns(self._side.bucket(self._buckets).alias(_BUCKET)).partition_by(
            _BUCKET, as_dict=True, include_key=False
        )
        sizes = self._files.write_all(
            name, {place(sink, self._side, int(bucket)): part for (bucket,), part in parts.items()}
        )
        return len(sizes), sum(sizes)

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
            if holds(mine, file.name):
                count, size = count + 1, size + file.size
            else:  # of an attempt that died before it committed
                self._files.delete(file.place, file.name)
        whole = (count, size) == (sum(each.files for each in mine), sum(each.bytes for each in mine))
        if self.resume.rows_done and not (whole and mine and mine[-1].upto == self.resume.rows_done):
            # The files are gone (another machine, a tidied disk): the rows are sent once more.
            with connection.transaction():
                begin_again(connection, self._key)
            self.resume = Resume()
            self._open()
