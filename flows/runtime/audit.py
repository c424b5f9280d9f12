"""Dataset rules in a run: what partitions measure stands with their place in the ledger, and is judged at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial

import polars as pl
import psycopg

from catalog.run_records import JudgedRule
from connectors.base import CommitCallback, PartitionLoader, Quarantined, Resume, TargetError, Written, no_rejects
from connectors.postgresql.ledger import LedgerKey, counters_of, read_ledger, seal, sealed
from connectors.postgresql.modes import LoadSpec
from connectors.postgresql.session import Session, SessionLoader
from flows.compile import Stage
from flows.compile.dataset_rules.base import Assertion, Facts, NodeAudit
from flows.compile.dataset_rules.measure import Measure, Measured, measure, merged, restored, stored
from flows.compile.stage import Audit
from flows.runtime.exchange import spec_between
from flows.runtime.job import Prepared
from flows.runtime.journal import Journal
from flows.runtime.limits import RunFailed

_HIDDEN = "a value that must not be shown"
_JUDGED = "judged"


class AuditLoader(SessionLoader):
    """See PartitionLoader: loads nothing, and keeps what was measured in the ledger's row. That is unlogged, as what is
    held back is: after a crash of the server both are made again."""

    def __init__(self, spec: LoadSpec, key: LedgerKey, measures: Sequence[Measure]) -> None:
        super().__init__(spec)
        self._key, self._measures = key, measures
        self._measured: Measured = {}

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        """See PartitionLoader."""
        measured = merged(self._measures, [self._measured, measure(frame, self._measures)])
        written = Written(0, no_rejects(), held=frame.height)
        self._commit(
            self._key,
            written,
            on_commit,
            lambda connection, after: None,
            lambda after: replace(after, counters=stored(measured)),
        )
        self._measured = measured
        return written

    def _open(self) -> None:
        connection = self._session.connection()
        stands = read_ledger(connection, self._key)
        connection.commit()
        self._measured = restored(stands.counters)
        self.resume = replace(stands, counters={})


class Audits:
    """The dataset rules of one run in one attempt."""

    def __init__(self, prepared: Prepared, journal: Journal) -> None:
        self._prepared, self._journal = prepared, journal

    def loader(self, audit: Audit, partition: int) -> PartitionLoader:
        """What a partition measures its rows with."""
        spec = spec_between(self._prepared, audit.node, f"the dataset rules of {audit.node}")
        return AuditLoader(spec, self._key(audit, partition), audit.measures)

    def judge(self, rows_of: Callable[[Stage], int]) -> None:
        """Once every partition is done and before anything that was held back is visible. `rows_of` a stage are those
        that must have been measured. What was judged to hold is told again and not judged again: rows may be visible
        since.

        Raises RunFailed when a rule that aborts does not hold, TargetError when what was measured is lost.
        """
        plan = self._prepared.plan
        if not plan.audits:
            return
        session = Session(spec_between(self._prepared, plan.audits[0].node, "the dataset rules"))
        try:
            judged = [
                rule
                for audit in plan.audits
                for rule in session.persistently(partial(self._judged, session, audit, rows_of))
            ]
        finally:
            session.close()
        if not judged:
            return
        self._journal.judged(judged)
        if broken := [rule for rule in judged if not rule.holds and rule.on_fail == "abort"]:
            raise RunFailed(_refusal(broken))

    def _judged(self, session: Session, audit: NodeAudit, rows_of: Callable[[Stage], int]) -> list[JudgedRule]:
        connection = session.connection()
        verdict = LedgerKey(self._prepared.load_key, f"{audit.node}.rules", -1, 0)
        if (held := sealed(connection, verdict)) is not None:
            connection.commit()
            return [JudgedRule(**rule) for rule in held.counters.get(_JUDGED, ())]
        facts = Facts(
            self._measured(connection, audit.node, rows_of),
            partial(self._journal.earlier_rows, audit.node),
            datetime.now(UTC),
        )
        judged = [self._rule(audit.node, assertion, facts) for assertion in audit.assertions]
        if all(rule.holds or rule.on_fail != "abort" for rule in judged):
            seal(connection, verdict, Resume(counters={_JUDGED: [asdict(rule) for rule in judged]}))
        connection.commit()
        return judged

    def _measured(
        self, connection: psycopg.Connection[tuple[object, ...]], node: str, rows_of: Callable[[Stage], int]
    ) -> Measured:
        """All that was measured for a node. Raises TargetError(`staging_lost`) when some of it is gone."""
        found: dict[str, tuple[int | float | None, ...]] = {}
        for stage, audit in self._sinks(node):
            parts = counters_of(connection, self._prepared.load_key, audit.id, stage.index, "staging_ledger")
            if sum(rows for rows, _ in parts) != rows_of(stage):
                raise TargetError(
                    "staging_lost",
                    f"What was measured for the dataset rules of '{node}' is gone: PostgreSQL crashed meanwhile.",
                    "Retry the run: it reads what is missing again.",
                )
            found |= merged(audit.measures, [restored(counters) for _, counters in parts])
        return found

    def _sinks(self, node: str) -> Iterable[tuple[Stage, Audit]]:
        for stage in self._prepared.plan.stages:
            for sink in stage.sinks:
                if isinstance(sink, Audit) and sink.node == node:
                    yield stage, sink

    def _rule(self, node: str, assertion: Assertion, facts: Facts) -> JudgedRule:
        verdict = assertion.judge(facts)
        private = {name for stage in self._prepared.plan.stages for name in stage.private.get(node, frozenset())}
        found = _HIDDEN if assertion.field in private else verdict.found
        return JudgedRule(node, assertion.path, assertion.wants, found, verdict.holds, assertion.on_fail)

    def _key(self, audit: Audit, partition: int) -> LedgerKey:
        return LedgerKey(self._prepared.load_key, audit.id, audit.stage, partition, "staging_ledger")


def _refusal(broken: Sequence[JudgedRule]) -> str:
    """Why the run failed, and what that means."""
    nodes = ", ".join(f"'{name}'" for name in dict.fromkeys(rule.node for rule in broken))
    told = "; ".join(f"{rule.wants} wanted, found: {rule.found} ({rule.path})" for rule in broken)
    return f"A dataset rule does not hold, so nothing behind {nodes} was made visible: {told}"
