"""Which rows of a run are still to be loaded, and where not any more: read off its stored plan, its errors and what
replays have loaded since.

A row that failed is open for the targets that the node it failed at leads to (`flows.compile.ways`). It is settled
for the others: it was loaded there or left out for good, and a replay does not bring it there, whatever the pipeline
says by then. What was settled once stays so in the replays of a replay. A target that the runs did not know is open,
unless it has taken another's place: it loads the table of one that is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from connectors.postgresql.ledger import Replayed

Failed = Mapping[tuple[int, int, str], Collection[int]]
"""Failed rows by (stage, partition, node)."""


class Settled(NamedTuple):
    """Rows that a target must not be given, whose table it was then."""

    table: str
    rows: list[int]


class Open(NamedTuple):
    """The rows of one partition to run again, ascending, and what is settled of them, by target. `known` are the
    targets that the run had; others have rows from replays of it."""

    rows: list[int]
    settled: Mapping[str, Settled]
    known: frozenset[str] = frozenset()

    def settled_for(self, targets: Mapping[str, str]) -> dict[str, Settled]:
        """`settled` with an entry for each of the targets (their tables by id) that a version has."""
        found = dict(self.settled)
        for target, table in targets.items():
            own = self.settled[target].rows if target in self.settled else []
            gone = [
                each.rows
                for name, each in self.settled.items()
                if name not in targets and each.table == table and not {name, target} <= self.known
            ]
            found[target] = Settled(table, sorted({*own, *(row for rows in gone for row in rows)}))
        return found


OpenRows = Mapping[tuple[str, int], Open]
"""By source node and partition."""


def still_open(plan: Mapping[str, Any], failed: Failed, replayed: Iterable[Replayed]) -> OpenRows:
    """What is left of the failed rows of a run with that plan."""
    replayed = list(replayed)
    found: dict[tuple[str, int], Open] = {}
    for number, stage in enumerate(plan.get("stages", ())):
        at: dict[int, dict[str, frozenset[int]]] = {}
        for (of_stage, partition, node), rows in failed.items():
            if of_stage == number:
                at.setdefault(partition, {})[node] = frozenset(rows)
        source = stage["nodes"][0]
        ways = plan["ways"][number] if "ways" in plan else {}
        loaded = [each for each in replayed if each.source_node == source]
        for partition, nodes in sorted(at.items()):
            before = _before(plan, source, partition)
            left = _left(dict(_targets(stage)), ways, nodes, before, loaded)
            if left.rows:
                found[source, partition] = left
    return found


def _left(
    targets: Mapping[str, str],
    ways: Mapping[str, Collection[str]],
    nodes: Mapping[str, frozenset[int]],
    before: Mapping[str, Settled],
    loaded: Iterable[Replayed],
) -> Open:
    """`targets` are those of the run, with their tables; `nodes` the rows that failed at each; `before` what was
    settled when the run began."""
    rows = frozenset[int]().union(*nodes.values())
    closed: dict[str, tuple[str, set[int]]] = {}
    for target, table in targets.items():
        opened = (failed for node, failed in nodes.items() if target in ways.get(node, targets))
        closed[target] = (table, set(rows.difference(*opened)))
    for target, each in before.items():
        closed.setdefault(target, (each.table, set()))[1].update(rows.intersection(each.rows))
    for done in loaded:
        # Where a row has taken one way of a branch, it has not the others before it any more.
        for target in {done.target_node, *(ways.get(done.target_node, targets) if done.target_node in targets else ())}:
            closed.setdefault(target, (done.table, set()))[1].update(rows & done.rows)
    known = frozenset({*targets, *before})
    left = frozenset[int]().union(*(rows - closed[target][1] for target in targets))
    settled = {target: Settled(table, sorted(shut & left)) for target, (table, shut) in closed.items()}
    return Open(sorted(left), settled if any(each.rows for each in settled.values()) else {}, known)


def _targets(stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The targets of a stage of a stored plan, and their tables."""
    if "sinks" not in stage:
        yield stage["nodes"][-1], stage["target"].get("table", "")
        return
    for sink in stage["sinks"]:
        if "target" in sink:
            yield sink["path"][-1], sink["target"].get("table", "")


def _before(plan: Mapping[str, Any], source: str, partition: int) -> dict[str, Settled]:
    """What was settled when a run began that was a replay itself."""
    partitions = plan.get("partitions", {}).get(source, ())
    location = partitions[partition][2] if partition < len(partitions) else {}
    return settled_in(location)


def settled_in(location: Mapping[str, Any]) -> dict[str, Settled]:
    """What the place of a replay's partition says is settled."""
    return {target: Settled(table, rows) for target, (table, rows) in location.get("settled", {}).items()}
