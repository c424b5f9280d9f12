"""The stages of a run with their rows: those that came in, from a source or from other stages, and those that went on,
into a table or to other stages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.catalog.runs.progress import share_done
from headrace.catalog.runs.records import TERMINAL, PartitionCounts, PartitionStatus, RunSnapshot

PUBLICATION = "publication of rows that were held back"


@dataclass(frozen=True, slots=True)
class StageRows:
    """A stage. `number` is negative for publications. `rows_in` are the rows that were read or that other stages sent,
    `rows_out` those that went on so far, and `done` of them are done where that is not `rows_in`: what a join or an
    aggregate makes of its rows are others. `share` of the stage is done, from 0.0 to 1.0."""

    number: int
    name: str
    nodes: Sequence[str]
    status: PartitionStatus
    partitions: Sequence[PartitionCounts]
    rows_in: int
    rows_out: int
    done: int
    share: float
    failed: int
    skipped: int

    @property
    def completed(self) -> int:
        """How many of its partitions have completed."""
        return sum(each.status == "completed" for each in self.partitions)


def stages_of(run: RunSnapshot) -> list[StageRows]:
    """The stages in the order in which they run; publications come last."""
    planned: Sequence[Mapping[str, Any]] = (run.plan or {}).get("stages", ())
    gathering = {number: stage["gathers"]["node"] for number, stage in enumerate(planned) if "gathers" in stage}
    by_stage: dict[int, list[PartitionCounts]] = defaultdict(list)
    for each in run.partitions:
        by_stage[each.stage].append(each)
    return [
        _stage(run, number, parts, planned[number] if 0 <= number < len(planned) else {}, gathering)
        for number, parts in sorted(by_stage.items(), key=lambda item: (item[0] < 0, abs(item[0])))
    ]


def rows_of(each: PartitionCounts) -> int:
    """The rows of a partition that are done: those of its source, or those that it gathered."""
    return each.rows_in if each.gathered_rows is None else each.gathered_rows


def _stage(
    run: RunSnapshot,
    number: int,
    parts: Sequence[PartitionCounts],
    planned: Mapping[str, Any],
    gathering: Mapping[int, str],
) -> StageRows:
    failed, skipped = sum(each.failed for each in parts), sum(each.skipped for each in parts)
    counted = run.stage_nodes.get(number, {})
    done, loaded = sum(map(rows_of, parts)), sum(each.rows_out for each in parts)
    came = loaded + failed + skipped if number < 0 else done
    if number in gathering:
        came = max(came, sum(map(_passed, _sent(run, number, gathering[number]))))
    out = loaded if number < 0 or not planned else sum(map(_passed, _ends(number, planned, counted, gathering)))
    return StageRows(
        number=number,
        name=PUBLICATION if number < 0 else str(planned.get("name", f"stage {number}")),
        nodes=planned.get("nodes", ()),
        status=_status(run, parts),
        partitions=parts,
        rows_in=came,
        rows_out=max(out, loaded),
        done=done,
        share=share_done(parts),
        failed=failed,
        skipped=skipped,
    )


def _ends(
    number: int, planned: Mapping[str, Any], counted: Mapping[str, Mapping[str, int]], gathering: Mapping[int, str]
) -> Iterator[Mapping[str, int]]:
    """The counters of the nodes at which rows leave the stage: its targets, and nodes that gather in other stages."""
    elsewhere = {node for other, node in gathering.items() if other != number}
    targets = {sink["path"][-1] for sink in planned.get("sinks", ()) if "target" in sink}
    if "target" in planned:
        targets.add(planned["nodes"][-1])
    return (counters for node, counters in counted.items() if node in targets | elsewhere)


def _sent(run: RunSnapshot, number: int, node: str) -> Iterator[Mapping[str, int]]:
    """The counters of the node in the stages that send rows to it."""
    return (nodes[node] for stage, nodes in run.stage_nodes.items() if 0 <= stage != number and node in nodes)


def _passed(counters: Mapping[str, int]) -> int:
    """The rows of a node that neither failed nor were skipped: a target that holds rows back has not counted them as
    its output yet, nor has a node that sends them to another stage."""
    return counters.get("rowsIn", 0) - counters.get("failed", 0) - counters.get("skipped", 0)


def _status(run: RunSnapshot, parts: Sequence[PartitionCounts]) -> PartitionStatus:
    began = any(each.began_at is not None for each in parts)
    if all(each.status == "completed" for each in parts):
        return "completed"
    if any(each.status == "failed" for each in parts) or (began and run.status in TERMINAL):
        return "failed"
    return "running" if began else "pending"
