"""What an earlier attempt has published of a source that could not be read to the same rows again."""

from __future__ import annotations

import threading

from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, find_row, rows_done
from headrace.connectors.postgresql.modes.merge_mode import MergeMode
from headrace.connectors.source import Restart
from headrace.connectors.target import Resume
from headrace.flows.compile import Load, Stage
from headrace.flows.runtime.job import Prepared
from headrace.flows.runtime.transform.row_counts import RowCounts


class PublishedBefore:
    """Stages whose rows are all in their table, while what was staged of them is gone: the ledger of staged rows is
    unlogged, and a crash of the server empties it. Read again, a source that does not restart exactly would give other
    rows, which nobody needs."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared, self._lock = prepared, threading.Lock()
        self._known: dict[int, int | None] = {}

    def rows(self, stage: Stage) -> int | None:
        """How many rows were published of such a stage; None of any other. Raises psycopg.Error."""
        job = self._prepared.job
        if stage.source is None or job.continues.earlier_plan is None or job.continues.replays:
            return None
        if len(stage.sinks) > 1 or self._prepared.discoveries[stage.source.id].restart is Restart.EXACT:
            return None
        with self._lock:
            if stage.index not in self._known:
                self._known[stage.index] = self._looked_up(stage)
            return self._known[stage.index]

    def resume(self, stage: Stage, index: int) -> Resume | None:
        """The progress of a partition of such a stage, the first of which has all rows; None of any other."""
        if (rows := self.rows(stage)) is None:
            return None
        mine = rows if index == stage.partitions[0].index else 0
        counts = RowCounts()
        counts.add(stage.sinks[0].id, rowsIn=mine)
        return Resume(rows_done=mine, counters=counts.nodes, finished=True)

    def _looked_up(self, stage: Stage) -> int | None:
        [sink] = stage.sinks
        mode = self._prepared.modes.get(sink.id)
        if not isinstance(sink, Load) or not isinstance(mode, MergeMode):
            return None
        load_key = self._prepared.load_key_of(mode)
        keys = [LedgerKey(load_key, sink.id, stage.index, at, kind="publication") for at in range(mode.publications())]
        with connect(self._prepared.job.database_of(sink.id), autocommit=True) as connection:
            if len(rows_done(connection, [load_key], sink.id, stage.index)) == len(stage.partitions):
                return None
            found = [find_row(connection, key) for key in keys]
        done = [each for each in found if each is not None]
        if len(done) < len(keys):
            return None
        return sum(each.rows_loaded + each.rows_failed + each.rows_skipped for each in done)
