"""The failed rows of a run: which are still to be loaded into which target, and those in quarantine tables.

A row that failed is open for the targets that its node leads to (`flows.compile.stages.open_targets`). It is settled
for the other targets: it was loaded there or left out, and no replay loads it there again, whatever the pipeline has
become. A settled row stays settled in the replays of a replay. A target that the run did not have is open, unless it
replaced another one: it loads the table of a target that is no longer in the pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from headrace.connectors.postgresql.ledger.replayed import Replayed
from headrace.flows.resume.stored_plan import StoredPlan

Failed = Mapping[tuple[int, int, str], Collection[int]]
"""Failed rows by (stage, partition, node)."""


class SettledRows(NamedTuple):
    """Rows that must not be sent to a target, and the target's table at that time."""

    table: str
    rows: list[int]


class OpenPartition(NamedTuple):
    """The rows of one partition to run again, ascending, and those of them that are settled, by target. `known` are the
    targets that the run had; other targets come from replays."""

    rows: list[int]
    settled: Mapping[str, SettledRows]
    known: frozenset[str] = frozenset()

    def settled_for(self, targets: Mapping[str, str]) -> dict[str, SettledRows]:
        """`settled` with an entry for each of the `targets` (tables by target id) of a pipeline version."""
        found = dict(self.settled)
        for target, table in targets.items():
            own = self.settled[target].rows if target in self.settled else []
            gone = [
                each.rows
                for name, each in self.settled.items()
                if name not in targets and each.table == table and not {name, target} <= self.known
            ]
            found[target] = SettledRows(table, sorted({*own, *(row for rows in gone for row in rows)}))
        return found


OpenRows = Mapping[tuple[str, int], OpenPartition]
"""By source node and partition."""


def find_open_rows(plan: StoredPlan, failed: Failed, replayed: Iterable[Replayed]) -> OpenRows:
    """The open rows of a run, from its stored plan, its failed rows and the rows loaded by replays."""
    replayed = list(replayed)
    found: dict[tuple[str, int], OpenPartition] = {}
    for number, stage in enumerate(plan.stages):
        at: dict[int, dict[str, frozenset[int]]] = {}
        for (of_stage, partition, node), rows in failed.items():
            if of_stage == number:
                at.setdefault(partition, {})[node] = frozenset(rows)
        source = stage["nodes"][0]
        ways = plan.ways[number] if plan.ways else {}
        loaded = [each for each in replayed if each.source_node == source]
        for partition, nodes in sorted(at.items()):
            before = _before(plan, source, partition)
            left = _open_rows(dict(_targets(stage)), ways, nodes, before, loaded)
            if left.rows:
                found[source, partition] = left
    return found


def _open_rows(
    targets: Mapping[str, str],
    ways: Mapping[str, Collection[str]],
    nodes: Mapping[str, frozenset[int]],
    before: Mapping[str, SettledRows],
    loaded: Iterable[Replayed],
) -> OpenPartition:
    """`targets` are the run's targets with their tables, `nodes` the rows that failed at each node, `before` the rows
    that were settled when the run began."""
    rows = frozenset[int]().union(*nodes.values())
    closed: dict[str, tuple[str, set[int]]] = {}
    for target, table in targets.items():
        opened = (failed for node, failed in nodes.items() if target in ways.get(node, targets))
        closed[target] = (table, set(rows.difference(*opened)))
    for target, each in before.items():
        closed.setdefault(target, (each.table, set()))[1].update(rows.intersection(each.rows))
    for done in loaded:
        # A row that has taken one route of a branch is not open for the other routes.
        for target in {done.target_node, *(ways.get(done.target_node, targets) if done.target_node in targets else ())}:
            closed.setdefault(target, (done.table, set()))[1].update(rows & done.rows)
    known = frozenset({*targets, *before})
    left = frozenset[int]().union(*(rows - closed[target][1] for target in targets))
    settled = {target: SettledRows(table, sorted(shut & left)) for target, (table, shut) in closed.items()}
    return OpenPartition(sorted(left), settled if any(each.rows for each in settled.values()) else {}, known)


def _targets(stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The targets of a stage of a stored plan, with their tables."""
    if "sinks" not in stage:
        yield stage["nodes"][-1], stage["target"].get("table", "")
        return
    for sink in stage["sinks"]:
        if "target" in sink:
            yield sink["path"][-1], sink["target"].get("table", "")


def _before(plan: StoredPlan, source: str, partition: int) -> dict[str, SettledRows]:
    """The rows that were settled when the run began, if it was a replay itself."""
    if plan.epoch is not None:  # no replay, and the partitions are those of its last epoch only
        return {}
    partitions = plan.sources[source].partitions if source in plan.sources else ()
    return settled_in(partitions[partition].location) if partition < len(partitions) else {}


def settled_in(location: Mapping[str, Any]) -> dict[str, SettledRows]:
    """The settled rows in the location of a replay's partition."""
    return {target: SettledRows(table, rows) for target, (table, rows) in location.get("settled", {}).items()}
