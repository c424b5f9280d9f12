"""Dataset rules in a run: partitions store their measurements in the ledger, and the rules are evaluated at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial

import polars as pl
import psycopg

from headrace.catalog.runs.records import DatasetRuleOutcome
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.ledger.partitions import (
    LedgerKey,
    counters_of,
    find_row,
    read_ledger,
    record_publication,
)
from headrace.connectors.postgresql.load.session import Session, SessionLoader
from headrace.connectors.postgresql.modes import LoadSpec
from headrace.connectors.source import no_rejects
from headrace.connectors.target import CommitCallback, PartitionLoader, Quarantined, Resume, Written
from headrace.flows.compile import Stage
from headrace.flows.compile.dataset_rules.base import Assertion, Facts, NodeAudit
from headrace.flows.compile.dataset_rules.measure import Measure, Measured, measure, merged, restored, stored
from headrace.flows.compile.stages.stage import Audit
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.job import Prepared
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.shuffle.exchange import loader_spec

_HIDDEN = "a value that must not be shown"
_EVALUATED = "evaluated"


class DatasetCheckLoader(SessionLoader):
    """A PartitionLoader that loads nothing and stores measurements in the ledger row. The ledger table is unlogged,
    like staging tables: after a crash of the server both are made again."""

    def __init__(self, spec: LoadSpec, key: LedgerKey, measures: Sequence[Measure]) -> None:
        super().__init__(spec)
        self._key, self._measures = key, measures
        self._measured: Measured = {}

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        """Measures a batch and commits the result with its ledger row; see PartitionLoader.write."""
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
        committed = read_ledger(connection, self._key)
        connection.commit()
        self._measured = restored(committed.counters)
        self.resume = replace(committed, counters={})


class DatasetChecks:
    """The dataset rules of one run in one attempt."""

    def __init__(self, prepared: Prepared, recorder: RunRecorder) -> None:
        self._prepared, self._recorder = prepared, recorder

    def loader(self, audit: Audit, partition: int) -> PartitionLoader:
        """The loader that measures the rows of a partition."""
        spec = loader_spec(self._prepared, audit.node, f"the dataset rules of {audit.node}")
        return DatasetCheckLoader(spec, self._key(audit, partition), audit.measures)

    def evaluate(self, rows_of: Callable[[Stage], int]) -> None:
        """Evaluates the rules; called after all partitions and before held back rows become visible. `rows_of` returns
        the rows of a stage that must have been measured. A stored result that passed is reported again and not
        evaluated again, because rows may be visible since.

        Raises RunFailed when an `abort` rule is violated, TargetError when measurements are lost.
        """
        plan = self._prepared.plan
        if not plan.audits:
            return
        session = Session(loader_spec(self._prepared, plan.audits[0].node, "the dataset rules"))
        try:
            evaluated = [
                rule
                for audit in plan.audits
                for rule in session.with_retries(partial(self._evaluated, session, audit, rows_of))
            ]
        finally:
            session.close()
        if not evaluated:
            return
        self._recorder.evaluated(evaluated)
        if broken := [rule for rule in evaluated if not rule.holds and rule.on_fail == "abort"]:
            raise RunFailed(_refusal(broken))

    def _evaluated(
        self, session: Session, audit: NodeAudit, rows_of: Callable[[Stage], int]
    ) -> list[DatasetRuleOutcome]:
        connection = session.connection()
        verdict = LedgerKey(self._prepared.load_key, f"{audit.node}.rules", 0, 0, kind="verdict")
        if (held := find_row(connection, verdict)) is not None:
            connection.commit()
            return [DatasetRuleOutcome(**rule) for rule in held.counters.get(_EVALUATED, ())]
        facts = Facts(
            self._measured(connection, audit.node, rows_of),
            partial(self._recorder.earlier_rows, audit.node),
            datetime.now(UTC),
        )
        evaluated = [self._rule(audit.node, assertion, facts) for assertion in audit.assertions]
        if all(rule.holds or rule.on_fail != "abort" for rule in evaluated):
            record_publication(connection, verdict, Resume(counters={_EVALUATED: [asdict(rule) for rule in evaluated]}))
        connection.commit()
        return evaluated

    def _measured(
        self, connection: psycopg.Connection[tuple[object, ...]], node: str, rows_of: Callable[[Stage], int]
    ) -> Measured:
        """All measurements of a node. Raises TargetError(`staging_lost`) when some are missing."""
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

    def _rule(self, node: str, assertion: Assertion, facts: Facts) -> DatasetRuleOutcome:
        verdict = assertion.evaluate(facts)
        private = {name for stage in self._prepared.plan.stages for name in stage.private.get(node, frozenset())}
        found = _HIDDEN if assertion.field in private else verdict.found
        return DatasetRuleOutcome(node, assertion.path, assertion.wants, found, verdict.holds, assertion.on_fail)

    def _key(self, audit: Audit, partition: int) -> LedgerKey:
        return LedgerKey(self._prepared.load_key, audit.id, audit.stage, partition, "staging_ledger", "measure")


def _refusal(broken: Sequence[DatasetRuleOutcome]) -> str:
    """The failure reason for violated rules."""
    nodes = ", ".join(f"'{name}'" for name in dict.fromkeys(rule.node for rule in broken))
    details = "; ".join(f"{rule.wants} wanted, found: {rule.found} ({rule.path})" for rule in broken)
    return f"A dataset rule does not hold, so no rows after {nodes} were published: {details}"
