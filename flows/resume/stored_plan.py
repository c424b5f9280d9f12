"""The plan of a run as the catalog stores it (JSON), for later attempts, replays and reports.

`FORMAT` is the version of the JSON. Plans without one were stored before there was a version, and are read as 1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from headrace.connectors.source import Partition, Restart
from headrace.flows.compile.type_inference.infer import View, Views
from headrace.flows.resume.epoch import Epoch
from headrace.flows.runtime.errors import RunFailed
from headrace.ir.schema import Field, Schema

FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A source as the run found it. `schema` None: stored by a release that did not store types."""

    partitions: Sequence[Partition]
    fingerprint: str | None = None
    schema: Schema | None = None
    sure: frozenset[str] = frozenset()
    restart: Restart = Restart.EXACT


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """The parts of a plan that a later attempt of the run, a replay or a report uses."""

    stages: Sequence[Mapping[str, Any]] = ()
    """The stages as people see them in the plan (`PhysicalPlan.describe`)."""
    notes: Sequence[str] = ()
    sources: Mapping[str, StoredSource] = field(default_factory=dict)
    """By source node."""
    views: Views | None = None
    """How the cells of undeclared text columns are read, by source node."""
    claims: Mapping[str, Any] = field(default_factory=dict)
    """The records of the files that were taken, by source node."""
    quarantines: Sequence[str] = ()
    """The quarantine tables of its nodes."""
    databases: Mapping[str, str] = field(default_factory=dict)
    """The connectors whose databases the targets are in, by target node; the warehouse is left out."""
    kept_in: str = ""
    """The connector in whose database failed rows are stored; empty for the warehouse."""
    replayable: bool = True
    """Whether failed rows can be run again by themselves."""
    entangling: str | None = None
    """The node because of which they cannot."""
    ways: Sequence[Mapping[str, Collection[str]]] = ()
    """By stage: the targets that rows which failed at a node were on their way to; empty where those are all."""
    buckets: Mapping[str, int] = field(default_factory=dict)
    """How many buckets rows are spread over, by the node that gathers them."""
    engine: str = ""
    """The version of polars, whose hash spreads rows over buckets."""
    epoch: Epoch | None = None
    """Of a streaming run: which of its epochs the plan is of. Its newest one is stored."""

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> StoredPlan | None:
        """Reads the JSON; None for a run that was not planned. Raises RunFailed for the plan of a later release."""
        if stored is None:
            return None
        if stored.get("format", FORMAT) > FORMAT:
            raise RunFailed(
                "The run was planned by a later release of Headrace, and cannot be continued by this one. Upgrade, or "
                "start a new run."
            )
        return cls(
            stages=stored.get("stages", ()),
            notes=stored.get("notes", ()),
            sources={node: _source(stored, node) for node in stored.get("partitions", {})},
            views=_read_views(stored["views"]) if "views" in stored else None,
            claims=stored.get("claims", {}),
            quarantines=stored.get("quarantines", ()),
            databases=stored.get("databases", {}),
            kept_in=stored.get("keptIn", ""),
            replayable=stored.get("whole") is not False,
            entangling=stored.get("entangling"),
            ways=stored.get("ways", ()),
            buckets=stored.get("buckets", {}),
            engine=stored.get("engine", ""),
            epoch=Epoch(**stored["epoch"]) if "epoch" in stored else None,
        )

    def as_json(self) -> dict[str, Any]:
        """The JSON; what is empty is left out."""
        restarts = {
            node: each.restart.value for node, each in self.sources.items() if each.restart is not Restart.EXACT
        }
        more = {
            "views": _written_views(self.views) if self.views else None,
            "restarts": restarts,
            "claims": dict(self.claims),
            "quarantines": list(self.quarantines),
            "databases": dict(self.databases),
            "keptIn": self.kept_in,
            "ways": list(self.ways) if self.replayable and any(self.ways) else None,
            "buckets": dict(self.buckets),
            "engine": self.engine if self.buckets else None,
            "epoch": None if self.epoch is None else asdict(self.epoch),
        }
        return {
            "format": FORMAT,
            "stages": list(self.stages),
            "notes": list(self.notes),
            "fingerprints": {node: each.fingerprint for node, each in self.sources.items()},
            "schemas": {node: [asdict(each) for each in found.schema or ()] for node, found in self.sources.items()},
            "sure": {node: sorted(each.sure) for node, each in self.sources.items()},
            "partitions": {node: [_written(p) for p in each.partitions] for node, each in self.sources.items()},
            **{name: value for name, value in more.items() if value},
            **({} if self.replayable else {"whole": False, "entangling": self.entangling}),
        }

    @property
    def reading(self) -> list[int]:
        """The indexes of the stages that read sources."""
        return [index for index, stage in enumerate(self.stages) if "source" in stage]


def _source(stored: Mapping[str, Any], node: str) -> StoredSource:
    schemas = stored.get("schemas")
    return StoredSource(
        [_partition(index, each) for index, each in enumerate(stored["partitions"][node])],
        stored.get("fingerprints", {}).get(node),
        None if schemas is None else tuple(Field(**each) for each in schemas.get(node, ())),
        frozenset(stored.get("sure", {}).get(node, ())),
        Restart(stored.get("restarts", {}).get(node, Restart.EXACT)),
    )


def _written(partition: Partition) -> list[Any]:
    stored: list[Any] = [partition.first_row, partition.rows, dict(partition.location)]
    more = {
        **({} if partition.counted else {"counted": False}),
        **({"cursor": partition.cursor} if partition.cursor else {}),
        **({"label": partition.label} if partition.label else {}),
    }
    return [*stored, more] if more else stored


def _partition(index: int, stored: Sequence[Any]) -> Partition:
    first_row, rows, location, *more = stored
    return Partition(index, first_row, rows, location, **(more[0] if more else {}))


def _written_views(views: Views) -> dict[str, Any]:
    return {
        node: {name: [view.value and asdict(view.value), view.key and asdict(view.key)] for name, view in seen.items()}
        for node, seen in views.items()
    }


def _read_views(stored: Mapping[str, Any]) -> Views:
    def read(given: Mapping[str, Any] | None) -> Field | None:
        return None if given is None else Field(**given)

    return {node: {name: View(*map(read, given)) for name, given in seen.items()} for node, seen in stored.items()}
