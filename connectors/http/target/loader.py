"""Sends the rows of one partition to an API, request by request, each recorded before it is sent.

1. The request (its id, the numbers of its rows, digests of its records) is committed to `_headrace.sent_requests`.
2. It is sent.
3. Its outcome is committed, together with the next request.
4. When all requests of a batch have an outcome, the ledger row of the partition commits with their counts.

An attempt that ends after 1 and before 3 leaves a request of which nobody knows whether the API has taken it. The next
attempt finds it. With a key by which the API ignores repeated requests, the same records are sent again with the same
key; without, `onUnknown` decides. Requests with an outcome are never sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import polars as pl
import polars_hash as plh
import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.http.client import Attempts
from headrace.connectors.http.target.answers import Outcome, UnclearAnswer
from headrace.connectors.http.target.changes import Changes
from headrace.connectors.http.target.earlier import Earlier, row_range
from headrace.connectors.http.target.records import Records, content_of, cuts, refused, rendered
from headrace.connectors.http.target.target import ApiTarget
from headrace.connectors.postgresql.cursors import move_cursor
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, read_ledger, register_load
from headrace.connectors.postgresql.ledger.replayed import replayed_by_others
from headrace.connectors.postgresql.ledger.sent_requests import (
    SentRequest,
    begin_request,
    forget_requests,
    read_requests,
    record_answer,
    settling,
)
from headrace.connectors.postgresql.load.loader import PartitionRef, release_replayed
from headrace.connectors.postgresql.load.session import SessionLoader
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.tables.quarantine import keep_rows
from headrace.connectors.source import ROW
from headrace.connectors.target import CommitCallback, Quarantined, Resume, Written


@dataclass(slots=True)
class _Sending:
    """What became of the rows of a batch so far."""

    taken: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    """The numbers of the requests that the ledger row will count."""
    again: list[Sequence[int]] = field(default_factory=list)
    """The rows of each request that the API may have got twice."""
    notes: list[str] = field(default_factory=list)

    def settle(self, request: SentRequest, *, whole: bool = True) -> None:
        self.refused |= request.refused
        self.taken += [row for row in request.rows if row not in request.refused]
        if whole:
            self.done.append(request.number)


class ApiLoader(SessionLoader):
    """A `PartitionLoader` that sends rows to an API. With `changes`, only those whose record has changed."""

    def __init__(
        self,
        spec: LoadSpec,
        place: PartitionRef,
        target: ApiTarget,
        changes: Changes | None,
        *,
        moves_cursor: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(spec, sleep=sleep)
        self._place, self._target, self._changes = place, target, changes
        self._cursor = spec.cursor_of(place.stage, place.partition) if moves_cursor else None
        self._key = LedgerKey(spec.load_key, spec.target_node, place.stage, place.partition)
        self._earlier = Earlier([])
        self._number = 0
        self._answered: tuple[SentRequest, dict[int, str]] | None = None
        """A request whose outcome is not committed yet."""
        self._refused_whole: list[int] = []
        """The numbers of requests that were refused as a whole, which is not committed yet."""

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        self._check_replayed(frame)
        made = rendered(frame, self._target.settings)
        if self._changes is not None:
            made = self._changes.keyed(made, frame)
        content = content_of(made.frame, self._target.settings)
        digests = (
            pl.DataFrame({"c": content}).select(plh.col("c").nchash.xxh3_64().reinterpret(signed=True)).to_series()
        )
        made = Records(made.frame.with_columns(content=content, digest=digests), made.rejects)
        sending = _Sending()
        left = self._settle_earlier(made.frame, sending)
        skipped = 0
        if self._changes is not None and left.height:
            changed = self._session.with_retries(lambda: self._changed(left))
            skipped, left = left.height - changed.height, changed
        for begin, end in cuts(left.get_column("record"), self._target.settings):
            self._send(left.slice(begin, end - begin), sending)
        self._session.with_retries(self._record)
        return self._finish(made, sending, skipped, on_commit, quarantined)

    def _finish(
        self,
        made: Records,
        sending: _Sending,
        skipped: int,
        on_commit: CommitCallback,
        quarantined: Sequence[Quarantined],
    ) -> Written:
        rejects = made.rejects
        if sending.refused:
            rows = pl.Series(list(sending.refused), dtype=pl.Int64)
            messages = pl.Series(list(sending.refused.values()), dtype=pl.String)
            rejects = pl.concat([rejects, refused(rows, messages)]).sort("row", maintain_order=True)
        loaded = made.frame.filter(pl.col(ROW).is_in(sending.taken))
        again = sum(map(len, sending.again))
        if sending.again:
            sending.notes.append(self._sent_again(sending.again))
        written = Written(loaded.height, rejects, skipped=skipped, sent_again=again, notes=tuple(sending.notes))

        def beside(connection: psycopg.Connection[Any], after: Resume) -> None:
            spec = self._spec
            keep_rows(connection, spec.origin_run_id or spec.root_run_id, spec.run_id, quarantined)
            if spec.origin_run_id is not None:
                release_replayed(connection, spec, loaded.get_column(ROW))
            if self._changes is not None:
                self._changes.store(connection, loaded)
            numbers = self._earlier.numbers if after.finished else ()
            forget_requests(connection, self._key, [*sending.done, *numbers])
            if self._cursor is not None:
                move_cursor(connection, self._cursor, after.position, spec.run_id)

        return self._commit(self._key, written, on_commit, beside)

    def _settle_earlier(self, records: pl.DataFrame, sending: _Sending) -> pl.DataFrame:
        """Settles the rows that earlier attempts sent; returns the others."""
        found = self._earlier.among(records)

        def rows_of(request: SentRequest) -> pl.DataFrame:
            return records.filter(pl.col(ROW).is_in([*request.rows]))

        for request in found.answered:
            # One of which only some rows are read now is forgotten with the end of the partition.
            sending.settle(request, whole=self._earlier.has_all(request))
        for request in found.unknown:
            settings = self._target.settings
            if not settings.once and settings.on_unknown == "fail":
                raise self._not_known(request)
            if settings.once:
                shown = self._shown(request.rows)
                sending.notes.append(f"{shown}: an earlier attempt ended before the API answered; sent once more")
            else:
                sending.again.append(request.rows)
            self._settle(request, rows_of(request), self._sent(request, rows_of(request), sending), sending)
        for request in found.cut:
            # The rest of its rows is read with another batch, or was changed: its body cannot be made again.
            if not self._target.settings.repeatable:
                if self._target.settings.on_unknown == "fail":
                    raise self._not_known(request)
                sending.again.append(request.rows)
        return found.left

    def _not_known(self, request: SentRequest) -> TargetError:
        return TargetError(
            "outcome_unknown",
            f"An earlier attempt ended before the API answered a request with {self._shown(request.rows)}, so it is "
            "not known whether the API has taken them.",
            f"Look there. If it has: {settling(self._key, request)} If it has not, set onUnknown to resend. "
            "Then retry.",
        )

    def _send(self, records: pl.DataFrame, sending: _Sending) -> None:
        self._number += 1
        rows, digests = records.get_column(ROW).to_list(), records.get_column("digest").to_list()
        request = SentRequest(self._number, str(uuid4()), self._spec.run_id, "sending", rows, digests)
        self._session.with_retries(lambda: self._record(request, records))
        self._settle(request, records, self._sent(request, records, sending, first=True), sending)

    def _sent(self, request: SentRequest, records: pl.DataFrame, sending: _Sending, *, first: bool = False) -> Outcome:
        """Raises TargetError. A request that the API has certainly not taken is forgotten before."""
        attempts = Attempts()
        try:
            path = str(records.get_column("path")[0])
            texts = records.get_column("record").to_list()
            outcome = self._target.send(path, texts, request.request_id, attempts)
        except UnclearAnswer:
            raise
        except TargetError:
            if first and not attempts.unknown:
                self._refused_whole.append(request.number)
                self._session.with_retries(self._record)
            raise
        if attempts.unknown and outcome.whole is None and not self._target.settings.once:
            sending.again.append(request.rows)
        return outcome

    def _settle(self, request: SentRequest, records: pl.DataFrame, outcome: Outcome, sending: _Sending) -> None:
        if outcome.whole is not None and records.height > 1 and self._target.settings.independent:
            self._refused_whole.append(request.number)
            half = records.height // 2
            self._send(records.slice(0, half), sending)
            self._send(records.slice(half), sending)
            return
        rejects = outcome.rejects
        if outcome.whole is not None:
            rejects = dict.fromkeys(range(records.height), outcome.whole)
        numbers = records.get_column(ROW)
        by_row = {int(numbers[index]): message for index, message in rejects.items()}
        self._session.with_retries(self._record)  # that of the request before, which has no other one behind it
        self._answered = (request, by_row)
        sending.settle(replace(request, refused=by_row))

    def _record(self, begins: SentRequest | None = None, records: pl.DataFrame | None = None) -> None:
        """Commits what is known of the requests before, and that a request begins."""
        connection = self._session.connection()
        if begins is None and self._answered is None and not self._refused_whole:
            return
        with connection.transaction():
            if self._answered is not None:
                record_answer(connection, self._key, *self._answered)
            if self._refused_whole:
                forget_requests(connection, self._key, self._refused_whole)
            if begins is not None:
                if not begin_request(connection, self._key, begins):
                    raise TargetError(
                        "ledger_moved",
                        f"Partition {self._place.partition + 1} of this run is being sent by another process.",
                        "Another worker took it over; this one stops.",
                    )
                if self._changes is not None and records is not None:
                    self._changes.forget(connection, records)
        self._answered = None
        self._refused_whole = []

    def _changed(self, records: pl.DataFrame) -> pl.DataFrame:
        assert self._changes is not None
        connection = self._session.connection()
        changed = self._changes.changed(connection, records)
        connection.commit()
        return changed

    def _check_replayed(self, frame: pl.DataFrame) -> None:
        """Raises TargetError for rows that another replay has sent."""
        origin = self._spec.origin_run_id
        if origin is None:
            return

        def check() -> bool:
            connection = self._session.connection()
            rows = frame.get_column(ROW).to_list()
            found = replayed_by_others(connection, origin, self._spec.target_node, self._spec.run_id, rows)
            connection.commit()
            return found

        if self._session.with_retries(check):
            raise TargetError(
                "replayed_elsewhere",
                "Another run has sent some of these failed rows in the meantime.",
                "Retry again: what is left is looked up again.",
            )

    def _sent_again(self, ranges: Sequence[Sequence[int]]) -> str:
        shown = ", ".join(map(row_range, ranges[:10])) + (f" and {len(ranges) - 10} more" if len(ranges) > 10 else "")
        return (
            f"{self._spec.target_node}: rows {shown} of partition {self._place.partition + 1} were sent again, because "
            "it is not known whether the API took them the first time: it may have them twice"
        )

    def _shown(self, rows: Sequence[int]) -> str:
        return f"rows {row_range(rows)} of partition {self._place.partition + 1}"

    def _open(self) -> None:
        self._target.client()
        connection = self._session.connection()
        register_load(
            connection,
            LedgerKey(self._spec.root_run_id, self._spec.target_node, self._place.stage, self._place.partition),
            run_id=self._spec.run_id,
            pipeline_id=self._spec.pipeline_id,
            ir_version=self._spec.ir_version,
            source_node=self._place.source_node,
            table=self._spec.table,
        )
        self.resume = read_ledger(connection, self._key)
        earlier = read_requests(connection, self._key)
        connection.commit()
        self._earlier = Earlier(earlier)
        self._number = max((each.number for each in earlier), default=0)
