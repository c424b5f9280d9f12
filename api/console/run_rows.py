"""Where the rows of a run went: in all, by source, and at each node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.catalog.runs.records import TERMINAL, RunSnapshot
from headrace.ir import PipelineIR

Part = tuple[str, str, int]
"""A part of a bar: its colour, what it is, and how many rows."""


@dataclass(frozen=True, slots=True)
class RowsBar:
    """Rows that were read, and what became of them; the parts add up to `whole`. `note` says why they are not one to
    one where joins, splits or aggregates are."""

    whole: int
    parts: Sequence[Part]
    note: str


@dataclass(frozen=True, slots=True)
class NodeRows:
    """The counts of a node, and its kind."""

    node: str
    kind: str
    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    warned: int

    @property
    def parts(self) -> Sequence[Part]:
        """What became of the rows that came in."""
        rest = max(self.rows_in - self.failed - self.skipped, 0)
        return (("good", "passed on", rest), ("bad", "failed", self.failed), ("calm", "skipped", self.skipped))


def rows_bar(run: RunSnapshot) -> RowsBar:
    """The rows of the whole run: in = loaded + failed + skipped, and what is still under way."""
    parts: list[Part] = [
        ("good", "loaded", run.rows_out),
        ("bad", "failed", run.failed_rows),
        ("calm", "skipped", run.skipped_rows),
    ]
    ended = sum(count for _, _, count in parts)
    rest = run.rows_in - ended
    if run.status not in TERMINAL:
        expected = max(run.total_rows, run.rows_in)
        if rest > 0:
            parts.append(("busy", "under way", rest))
        if expected > max(run.rows_in, ended):
            parts.append(("ground", "not read yet", expected - max(run.rows_in, ended)))
        return RowsBar(max(expected, ended), parts, "")
    if rest > 0 and run.status == "failed":
        parts.append(("ground", "read, and not loaded", rest))
        return RowsBar(run.rows_in, parts, "")
    if rest > 0:
        parts.append(("accent", "combined with others", rest))
        return RowsBar(run.rows_in, parts, "Joins or aggregates make one row of several, so fewer rows come out.")
    note = "Joins or splits make several rows of one, so more rows come out than went in." if rest < 0 else ""
    return RowsBar(max(run.rows_in, ended), parts, note)


@dataclass(frozen=True, slots=True)
class SourceBar:
    """The rows of one source, and what became of them before they met those of other sources."""

    node: str
    whole: int
    parts: Sequence[Part]


def source_bars(run: RunSnapshot, ir: PipelineIR | None) -> list[SourceBar]:
    """A bar for each source, if there are several: what failed and was skipped at nodes that only its rows pass, what
    such targets loaded, and what went on to nodes with rows of other sources."""
    if ir is None:
        return []
    origins = _origins(ir)
    sources = [node.id for node in ir.nodes if node.kind == "source" and node.id in run.nodes]
    if len(sources) < 2:
        return []
    targets = {node.id for node in ir.nodes if node.kind == "target"}
    bars = []
    for source in sources:
        own = [run.nodes[node] for node, found in origins.items() if found == {source} and node in run.nodes]
        failed, skipped = (sum(each.get(counter, 0) for each in own) for counter in ("failed", "skipped"))
        loads = [node for node in targets if origins[node] == {source} and node in run.nodes]
        loaded = sum(run.nodes[node].get("rowsOut", 0) for node in loads)
        read = run.nodes[source].get("rowsIn", 0)
        met = max(read - failed - skipped - loaded, 0)
        together = "under way" if run.status not in TERMINAL else "went on to meet others"
        parts = (
            ("good", "loaded", loaded),
            ("accent", together, met),
            ("bad", "failed before", failed),
            ("calm", "skipped before", skipped),
        )
        bars.append(SourceBar(source, max(read, sum(count for _, _, count in parts)), parts))
    return bars


def _origins(ir: PipelineIR) -> dict[str, set[str]]:
    """Node → the sources whose rows can reach it."""
    ids = {node.id for node in ir.nodes}
    before = {
        node.id: [given if given in ids else given.rpartition(".")[0] for given in node.inputs] for node in ir.nodes
    }
    found = {node.id: {node.id} if node.kind == "source" else set[str]() for node in ir.nodes}
    changed = True
    while changed:  # nodes are listed in any order
        changed = False
        for node, inputs in before.items():
            reached = found[node].union(*(found.get(each, set()) for each in inputs))
            if reached != found[node]:
                found[node], changed = reached, True
    return found


def node_rows(run: RunSnapshot, ir: PipelineIR | None) -> list[NodeRows]:
    """The counts of the nodes in the order in which rows pass them."""
    kinds = {node.id: node.kind for node in ir.nodes} if ir is not None else {}
    return [
        NodeRows(
            node,
            kinds.get(node, ""),
            counters.get("rowsIn", 0),
            counters.get("rowsOut", 0),
            counters.get("failed", 0),
            counters.get("skipped", 0),
            counters.get("warned", 0),
        )
        for node, counters in run.nodes.items()
    ]
