"""How a run continues an earlier one: after its ledger, or by running its failed rows again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from headrace.catalog.runs.records import RunSnapshot
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.ledger.partitions import full_load_key
from headrace.flows.resume.epoch import Epoch
from headrace.flows.resume.failed_rows import Failed, OpenRows, find_open_rows
from headrace.flows.resume.ledgers import Ledgers
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.errors import RunFailed


def not_replayed(node: str | None) -> str:
    """Why failed rows cannot be run again by themselves: the node that brings them together with others, or makes
    several of one (None: of a run of an earlier version of Headrace)."""
    cause = (
        f"node '{node}' brings rows together or makes several of one" if node else "the path of its rows is not known"
    )
    return (
        f"Failed rows of this pipeline cannot be run again by themselves: {cause}. "
        "Correct the cause and start a new run."
    )


class RunHistory(Protocol):
    """The known runs by id: what a continuing run needs to know of earlier ones."""

    def snapshot(self, run_id: str) -> RunSnapshot | None: ...

    def attempts(self, root_run_id: str) -> list[str]:
        """The runs of a chain that were planned, those that planned last first."""

    def failed_rows(self, root_run_id: str) -> Failed:
        """The rows that failed in a chain of runs, by (stage, partition, node)."""

    def first_of_chain(self, run_id: str) -> str:
        """The run that a chain of retries and replays began with."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """The state that a run takes over. `root_run_id` keys ledger and errors; `earlier_plan` is the plan whose
    partitions are used again; `open_rows`, in a new replay, are the rows to run; `ir_version` None means the live
    one."""

    root_run_id: str
    retry_of: str | None = None
    origin_run_id: str | None = None
    ir_version: int | None = None
    earlier_plan: Mapping[str, Any] | None = None
    open_rows: OpenRows | None = None
    parameters: Mapping[str, Any] | None = None
    """The parameters of the earlier run; None for a first run."""
    committed: int = 0
    """Source rows that the chain has dealt with for good."""
    first_run_id: str | None = None
    aborted: bool = False
    """A dataset rule held back what the attempt before had staged."""
    visible: tuple[str, ...] = ()
    """After such a rule: the tables that already have rows of the chain, so that the run continues as it began."""
    quarantines: tuple[str, ...] = ()
    """The quarantine tables of the attempt before, which may be others than this one's."""
    epoch: Epoch | None = None
    """Of a streaming run: the epoch that the plan is of, or that begins."""

    @property
    def load_key(self) -> str:
        """The ledger's id of what a retry continues."""
        return self.root_run_id if self.epoch is None else self.epoch.load_key(self.root_run_id)

    @property
    def plan(self) -> StoredPlan | None:
        """`earlier_plan`, read. Raises RunFailed for the plan of a later release."""
        return StoredPlan.of(self.earlier_plan)

    @property
    def first(self) -> str:
        """The run that the chain of retries and replays began with: what it took from the sources is theirs."""
        return self.first_run_id or self.origin_run_id or self.root_run_id

    @property
    def starts_over(self) -> bool:
        """A retry that continues nothing: what the attempts before it found wrong is forgotten, it finds it again."""
        return self.retry_of is not None and self.earlier_plan is None and not self.replays

    @property
    def reloads(self) -> bool:
        """It starts over although rows are staged: they are dropped, because a dataset rule held them back."""
        return self.aborted and self.starts_over

    @property
    def replays(self) -> bool:
        """Only failed rows are run again."""
        return self.origin_run_id is not None


def same_run_again(before: RunSnapshot, store: RunHistory, ledgers: Ledgers) -> Continuation:
    """Continues the same run, because its flow run was re-run after it had been planned. Raises RunFailed if a retry of
    it has staged rows in another way since."""
    newest = _newest_planned(before, store)
    keys = [_load_key(before), full_load_key(before.id)]
    if newest.id != before.id and _plan_of(newest).epoch is not None:
        raise RunFailed(f"{newest.id} goes on with the stream that this run began: retry that one")
    if _layout(newest) != _layout(before):
        _, begun = ledgers.committed([newest.ir_version, before.ir_version], keys[:1])
        if begun:
            raise RunFailed(f"{newest.id} has taken over what this run began: retry that one")
    return _after_committed_rows(before, before.retry_of, store, ledgers, keys, same=True)


def retried(original: RunSnapshot, store: RunHistory, run_id: str, ledgers: Ledgers) -> Continuation:
    """A new run for one that failed, or that completed with errors. Raises RunFailed when there is nothing to do."""
    continues = _retried(original, store, run_id, ledgers)
    return replace(continues, first_run_id=store.first_of_chain(original.id))


def _retried(original: RunSnapshot, store: RunHistory, run_id: str, ledgers: Ledgers) -> Continuation:
    # One that died before it had planned left what it would have taken over where it was.
    untouched = store.snapshot(original.retry_of) if original.plan is None and original.retry_of is not None else None
    if untouched is not None:
        return replace(_retried(untouched, store, run_id, ledgers), retry_of=original.id)
    if original.status != "completed_with_errors":
        laid = _newest_planned(original, store)
        return _after_committed_rows(laid, original.id, store, ledgers, [_load_key(laid)])
    plan = _plan_of(original)
    if not plan.replayable:
        raise RunFailed(not_replayed(plan.entangling))
    origin = original.origin_run_id or original.root_run_id
    found = open_rows(original, store, ledgers)
    if not found:
        raise RunFailed(f"No failed rows of {original.id} are left to run again")
    return Continuation(
        root_run_id=run_id,
        retry_of=original.id,
        origin_run_id=origin,
        earlier_plan=original.plan,
        open_rows=found,
        parameters=original.parameters,
        committed=original.rows_in,
        epoch=plan.epoch,
    )


def reload_reasons(continues: Continuation, ledgers: Ledgers) -> list[str]:
    """The reasons why a retry will load all rows of targets again, because loaded rows are missing; shown in advance:
    the run itself checks again, and longer. Raises RunFailed if it could not continue."""
    if continues.earlier_plan is None or continues.open_rows is not None:
        return []
    try:
        return ledgers.restart_reasons(continues.ir_version, continues.load_key)
    except TargetError as error:
        raise RunFailed(str(error)) from None


def open_rows(original: RunSnapshot, store: RunHistory, ledgers: Ledgers) -> OpenRows:
    """The rows that failed in the run and were not loaded by a replay since, each where it is still to go."""
    # Those of the version that failed, and of the one that is live now: a row that a replay loaded elsewhere in between
    # is in neither.
    replayed = ledgers.replayed([original.ir_version, None], original.origin_run_id or original.root_run_id)
    return find_open_rows(_plan_of(original), store.failed_rows(original.root_run_id), replayed)


def _newest_planned(run: RunSnapshot, store: RunHistory) -> RunSnapshot:
    """The attempt of the run's chain whose plan what is staged and loaded is counted by."""
    attempts = store.attempts(run.root_run_id)
    newest = store.snapshot(attempts[0]) if attempts and attempts[0] != run.id else None
    return newest or run


def _plan_of(run: RunSnapshot) -> StoredPlan:
    """The run's plan; an empty one if it was not planned."""
    return StoredPlan.of(run.plan) or StoredPlan()


def _load_key(run: RunSnapshot) -> str:
    """The ledger's id of what a retry of the run continues."""
    epoch = _plan_of(run).epoch
    return run.root_run_id if epoch is None else epoch.load_key(run.root_run_id)


def _layout(run: RunSnapshot) -> tuple[Any, ...]:
    """The meaning of the ledger's rows in an attempt."""
    plan = _plan_of(run)
    return run.ir_version, {node: [*each.partitions] for node, each in plan.sources.items()}, dict(plan.buckets)


def _after_committed_rows(
    earlier: RunSnapshot,
    retry_of: str | None,
    store: RunHistory,
    ledgers: Ledgers,
    load_keys: Sequence[str],
    *,
    same: bool = False,
) -> Continuation:
    """Continues after what the chain has committed; if that is nothing, nothing has to match, neither partitions nor
    the state of the source nor (unless it is the `same` run) the version. No more is there when all of it is staged,
    nobody has seen it, and a dataset rule says that nobody should."""
    aborted = earlier.aborted and not same
    visible: tuple[str, ...] = ()
    plan = _plan_of(earlier)
    committed, begun = ledgers.committed([earlier.ir_version], load_keys, plan.reading)
    if aborted and begun:
        keys = [full_load_key(attempt) for attempt in store.attempts(earlier.root_run_id)]
        visible = ledgers.published([earlier.ir_version], load_keys[0], keys)
    bound = (begun and (not aborted or bool(visible))) or earlier.origin_run_id is not None
    return Continuation(
        root_run_id=earlier.root_run_id,
        retry_of=retry_of,
        origin_run_id=earlier.origin_run_id,
        ir_version=earlier.ir_version if bound or same else None,
        earlier_plan=earlier.plan if bound else None,
        parameters=earlier.parameters,
        committed=committed if bound else 0,
        aborted=aborted,
        visible=visible,
        quarantines=tuple(plan.quarantines),
        epoch=plan.epoch,
    )
