"""Records the columns that a run, a plan or a preview finds in its sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from headrace.catalog.found_columns import FoundColumnStore, Seen, column_changes, source_key
from headrace.catalog.runs.records import RunPipeline
from headrace.connectors.source import Discovery
from headrace.flows.compile.target.lost_columns import LastRun
from headrace.flows.runtime.job import Job

_SHOWN = 10


def seen_columns(pipeline: RunPipeline, discoveries: Mapping[str, Discovery]) -> list[Seen]:
    """The columns of the sources that have any."""
    nodes = _source_nodes(pipeline)
    return [
        Seen(name, _key(pipeline, nodes[name]), found.schema, found.guessed)
        for name, found in discoveries.items()
        if found.schema and name in nodes
    ]


def last_runs(store: FoundColumnStore, pipeline: RunPipeline) -> dict[str, LastRun]:
    """What the sources of the document were in the last run that was planned with them, by node. Nodes of a connector
    that does not exist are left out: they are reported when the run is planned."""
    keys = {}
    for name, node in _source_nodes(pipeline).items():
        with suppress(KeyError):
            keys[name] = _key(pipeline, node)
    return {
        name: LastRun(each.run_id, each.run_columns)
        for name, each in store.known(pipeline.id, keys).items()
        if each.run_id is not None and each.run_columns is not None
    }


class RunSources:
    """Remembers what the sources of a run are, and logs when they have changed since the last one."""

    def __init__(self, store: FoundColumnStore, job: Job, log: Callable[[str], None]) -> None:
        self._store, self._job, self._log = store, job, log
        self._seen: list[Seen] = []

    def found(self, discoveries: Mapping[str, Discovery]) -> None:
        """Called when the sources have been inspected, even if the run cannot be planned."""
        pipeline = self._job.pipeline
        self._seen = seen_columns(pipeline, discoveries)
        before = self._store.found(pipeline.id, self._job.run_id, self._seen)
        for each in self._seen:
            last = before.get(each.node)
            if last is None or last.run_columns is None:
                continue
            if changes := column_changes(last.run_columns, each.columns):
                more = f", and {len(changes) - _SHOWN:,} more" if len(changes) > _SHOWN else ""
                listed = ", ".join(map(str, changes[:_SHOWN]))
                self._log(f"The source '{each.node}' has other columns than in {last.run_id}: {listed}{more}")

    def planned(self) -> None:
        """To be called when the run is planned with them."""
        self._store.ran(self._job.pipeline.id, self._job.run_id, self._seen)


def _source_nodes(pipeline: RunPipeline) -> dict[str, Mapping[str, Any]]:
    nodes = (node for node in pipeline.ir.get("nodes", ()) if isinstance(node, Mapping))
    return {str(node.get("id")): node for node in nodes if node.get("kind") == "source"}


def _key(pipeline: RunPipeline, node: Mapping[str, Any]) -> str:
    return source_key(node, pipeline.connection(node.get("connection")))
