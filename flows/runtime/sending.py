"""The loader of rows that a later stage gathers: files, one per batch and bucket, that count when the ledger moves."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import polars as pl

from connectors.base import CommitCallback, Quarantined, Resume, TargetError, Written, no_rejects
from connectors.postgresql.ledger import LedgerKey, move_ledger, read_ledger
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


def place(sink: str, bucket: int) -> str:
    """The folder of one bucket."""
    return f"{sink}/{bucket:04}"


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
        moved: list[Resume] = []

        def commit() -> Written:
            connection = self._session.connection()
            # A commit whose answer was lost is found here by the next attempt.
            if moved and read_ledger(connection, self._key).rows_done == moved[-1].rows_done:
                connection.commit()
                self.resume = moved[-1]
                return written
            with connection.transaction():
                after = on_commit(written)
                keep_rows(connection, self._spec.root_run_id, self._spec.run_id, quarantined)
                partition = self._key.partition
                sent = Sent(partition, self._token, before.rows_done, after.rows_done, count, size)
                note_sent(connection, self._key.root_run_id, self._key.target_node, sent)
                if not move_ledger(connection, self._key, before, after):
                    raise TargetError(
                        "ledger_moved",
                        f"Partition {partition + 1} of this run is being read by somebody else.",
                        "Another worker took it over; this one stops.",
                    )
                moved.append(after)
            self.resume = after
            return written

        return self._session.persistently(commit)

    def _written(self, frame: pl.DataFrame, start: int) -> tuple[int, int]:
        """Writes the rows; gives how many files they are, and their bytes."""
        name, sink = file_name(self._key.partition, start, self._token), self._key.target_node
        if frame.is_empty():
            return 0, 0
        frame = frame.select(self._side.schema.names())
        if self._buckets == 1:
            return 1, self._files.write(place(sink, 0), name, frame)
        parts = frame.with_columns(self._side.bucket(self._buckets).alias(_BUCKET)).partition_by(
            _BUCKET, as_dict=True, include_key=False
        )
        sizes = [self._files.write(place(sink, int(bucket)), name, part) for (bucket,), part in parts.items()]
        return len(sizes), sum(sizes)

    def _open(self) -> None:
        connection = self._session.connection()
        self.resume = read_ledger(connection, self._key)
        sink, partition = self._key.target_node, self._key.partition
        mine = [each for each in read_sent(connection, self._key.root_run_id, sink) if each.partition == partition]
        connection.commit()
        count = size = 0
        for bucket in range(self._buckets):
            for name, length in list(self._files.list(place(sink, bucket))):
                if parsed_name(name)[0] != partition:
                    continue
                if holds(mine, name):
                    count, size = count + 1, size + length
                else:  # of an attempt that died before it committed
                    self._files.delete(place(sink, bucket), name)
        whole = (count, size) == (sum(each.files for each in mine), sum(each.bytes for each in mine))
        if self.resume.rows_done and not (whole and mine and mine[-1].upto == self.resume.rows_done):
            # The files are gone (another machine, a tidied disk): the rows are sent once more.
            with connection.transaction():
                begin_again(connection, self._key)
            self.resume = Resume()
            self._open()
