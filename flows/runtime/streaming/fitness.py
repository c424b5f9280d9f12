"""Which pipelines can be streamed: every source goes on where it ended, and every target takes rows bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.connectors.postgresql.modes import MODES
from headrace.connectors.registry import reader
from headrace.connectors.source import Discovery
from headrace.ir import PipelineIR, Problem
from headrace.ir.dataset_rules import RowCountAnomaly
from headrace.ir.nodes import SourceNode, TargetNode, ValidateNode

SCHEDULED = Problem(
    "schedule",
    "not_streamable",
    "A stream has no schedule: its run goes on by itself",
    "remove it, and start the pipeline once",
)
_HINT = "use micro_batch with a schedule"
_ANOMALY_HINT = "remove rowCountAnomaly; executionConfig.maxLagSeconds reports a stream that falls behind"


def streaming_problems(ir: PipelineIR) -> list[Problem]:
    """What of a document cannot be streamed, as far as that shows when it is saved."""
    problems = []
    if ir.schedule is not None:
        problems.append(SCHEDULED)
    for index, node in enumerate(ir.nodes):
        if isinstance(node, SourceNode):
            known = reader(node.connector)
            if known is not None and not known.continues(node.config):
                problems.append(_endless(index, node))
        elif isinstance(node, TargetNode) and not MODES[node.load_mode].resumable:
            text = f"'{node.id}' replaces its table (loadMode {node.load_mode}), and would do so with each epoch's rows"
            problems.append(Problem(f"nodes[{index}].loadMode", "not_streamable", text, "use append or upsert"))
        elif isinstance(node, TargetNode) and node.deletes is not None:
            text = f"'{node.id}' compares keys with all of the source, and would do so in each epoch"
            problems.append(Problem(f"nodes[{index}].deletes", "not_streamable", text, _HINT))
        elif isinstance(node, ValidateNode):
            problems += [
                Problem(f"nodes[{index}].datasetLevel.{path}", "not_streamable", _anomaly(node.id), _ANOMALY_HINT)
                for path, rule in node.dataset_level
                if isinstance(rule, RowCountAnomaly)
            ]
    return problems


def unending(ir: PipelineIR, discoveries: Mapping[str, Discovery]) -> Iterator[Problem]:
    """The same, when the sources have been looked at."""
    for index, node in enumerate(ir.nodes):
        if isinstance(node, SourceNode) and any(each.cursor is None for each in discoveries[node.id].partitions):
            yield _endless(index, node)
        elif isinstance(node, TargetNode) and not MODES[node.load_mode].resumable:
            yield from (each for each in streaming_problems(ir) if each.path == f"nodes[{index}].loadMode")


def _anomaly(node: str) -> str:
    return f"'{node}' compares the number of rows with that of earlier runs, and would compare each epoch's with it"


def _endless(index: int, node: SourceNode) -> Problem:
    text = f"'{node.id}' has neither a cursor nor offsets, so a stream would read all of it over and over"
    return Problem(f"nodes[{index}].config", "not_streamable", text, f"{_HINT}, or set a cursor if it can have one")
