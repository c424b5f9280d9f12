"""Traces columns through a compiled pipeline, by the provenance of steps or by their expressions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import polars as pl

from headrace.connectors.source import ROW, reserved
from headrace.flows.compile import LogicalPlan
from headrace.flows.compile.logical_node import LogicalNode
from headrace.flows.compile.nodes.branch import decided_by
from headrace.flows.compile.provenance import From, Indirect, Made, Origin, Provenance, named, of_expression
from headrace.flows.compile.step import Step
from headrace.flows.lineage.graph import Column, Decision, Place, Root, Use
from headrace.ir.nodes import BranchNode, SourceNode, ValidateNode, producer

_TAKES_AWAY = ("quarantine", "skip", "abort")
"""The outcomes of a failed check that remove the row."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The columns at one place by name, and the decisions about rows up to there."""

    columns: Mapping[str, Column]
    decided: Decision = field(default_factory=Decision)
    opaque: Place | None = None
    """A step without provenance: all columns after it may come from any of its input columns."""

    def of(self, name: str) -> Column:
        """A column; one that is not listed may come from all of them."""
        found = self.columns.get(name)
        if found is not None:
            return found
        every = dict.fromkeys(self.columns.values())
        return Column(place=self.opaque, made_of=tuple((column, Use("transformation")) for column in every))

    def after(self, decision: Decision) -> Frame:
        """The frame after a decision; one without columns is ignored."""
        return replace(self, decided=replace(decision, before=(self.decided,))) if decision.columns else self


def trace(plan: LogicalPlan) -> dict[str, Frame]:
    """The output frame of every node of the plan."""
    ends: dict[str, Frame] = {}
    orders = count()
    for node_id, node in plan.nodes.items():
        if isinstance(node.node, SourceNode):
            roots = {name: Column(Root(node_id, None, name)) for name in node.schema if name != ROW}
            ends[node_id] = Frame(roots)
            continue
        frames = [_entering(plan.nodes, ends, reference, next(orders)) for reference in node.node.inputs]
        for step in node.steps:
            place = Place(next(orders), step.node, step.path, step.label)
            frames = [_passed(frames, step, place, evaluates=isinstance(node.node, ValidateNode))]
        [last] = frames
        ends[node_id] = replace(last, columns={name: last.of(name) for name in _visible(node)}, opaque=None)
    return ends


def _visible(node: LogicalNode) -> Iterator[str]:
    return (name for name in node.schema if not reserved(name))


def _entering(nodes: Mapping[str, LogicalNode], ends: Mapping[str, Frame], reference: str, order: int) -> Frame:
    """The frame of an input; for a route of a branch, after the decision by its conditions."""
    before = producer(reference)
    frame, node = ends[before], nodes[before]
    if not isinstance(node.node, BranchNode):
        return frame
    route = reference.partition(".")[2]
    place = Place(order, before, node.steps[0].path, f"route {route}: {node.steps[0].label}")
    return frame.after(Decision(place, "filter", tuple(map(frame.of, decided_by(node.node, route)))))


def _passed(before: Sequence[Frame], step: Step, place: Place, *, evaluates: bool) -> Frame:
    """The frame after a step. `evaluates`: its checks are row rules, and not checks that a value can be read."""
    if step.shuffle is not None:
        return _gathered(before, step, place)
    [frame] = before
    if evaluates:
        checks = [check for check in step.checks if check.on_fail in _TAKES_AWAY]
        read = [*named(name for check in checks for name in check.fails.meta.root_names())]
        read += [key for check in checks for broadcast in check.reads for key in broadcast.keys]
        frame = frame.after(Decision(place, "filter", _columns([frame], read)))
    if step.keep is not None:
        kept = _columns([frame], named(step.keep.meta.root_names()))
        frame = frame.after(Decision(place, "filter", kept))
    made = {
        expression.meta.output_name(): _computed(frame, expression, step, place)
        for expression in step.columns
        if not expression.meta.is_regex_projection()
    }
    frame = replace(frame, columns={**frame.columns, **made})
    shaped = frame if step.reshape is None else _reshaped(frame, step, place)
    return _decided(shaped, [frame], step.provenance, place)


def _computed(frame: Frame, expression: pl.Expr, step: Step, place: Place) -> Column:
    name, made = expression.meta.output_name(), of_expression(expression)
    hides = name in step.conceals or any(isinstance(each, From) and each.column in step.conceals for each in made.of)
    if hides and not made.of:  # its replacement still counts as derived from it
        made = Made(named([name]))
    return _column([frame], made, place, name, masking=hides)


def _reshaped(frame: Frame, step: Step, place: Place) -> Frame:
    if step.provenance is not None:
        said = step.provenance.made
    elif step.origins is not None:
        said = {name: Made(named([source]), "identity") for name, source in step.origins.items()}
    else:
        after = {name: frame.of(name) for name in frame.columns}
        hidden = Column(place=place, made_of=tuple((column, Use("transformation")) for column in after.values()))
        return replace(frame, columns=dict.fromkeys(after, hidden), opaque=place)
    made = {name: _column([frame], each, place, name) for name, each in said.items()}
    return replace(frame, columns={**frame.columns, **made})


def _gathered(before: Sequence[Frame], step: Step, place: Place) -> Frame:
    assert step.shuffle is not None
    sides = range(len(before))
    said = {
        name: Made(tuple(From(column, side) for column in origins for side in sides if column in before[side].columns))
        for name, origins in step.shuffle.origins.items()
    }
    if step.shuffle.keeps_rows:
        said = {
            name: replace(made, how="identity") if made.of == (From(name),) else made for name, made in said.items()
        }
    said |= step.provenance.made if step.provenance is not None else {}
    columns = {name: _column(before, made, place, name) for name, made in said.items() if name in step.shuffle.origins}
    met = Decision(before=tuple(frame.decided for frame in before))
    return _decided(Frame(columns, met), before, step.provenance, place)


def _decided(frame: Frame, before: Sequence[Frame], said: Provenance | None, place: Place) -> Frame:
    """The frame after the decisions about rows in a step's provenance."""
    rows: Mapping[Indirect, tuple[Origin, ...]] = said.rows if said is not None else {}
    for subtype, origins in rows.items():
        frame = frame.after(Decision(place, subtype, _columns(before, origins)))
    return frame


def _column(before: Sequence[Frame], made: Made, place: Place, name: str, *, masking: bool = False) -> Column:
    """The column that a step made; the same object if it was only passed on under its name."""
    values = [(_one(before, origin), Use(made.how, masking)) for origin in made.of]
    if made.how == "identity" and made.of == (From(name),) and not made.decided_by:
        return values[0][0]
    deciding = [(_one(before, origin), Use(subtype)) for subtype, origin in made.decided_by]
    return Column(place=place, made_of=(*values, *deciding))


def _columns(before: Sequence[Frame], origins: Iterable[Origin]) -> tuple[Column, ...]:
    return tuple(_one(before, origin) for origin in dict.fromkeys(origins) if origin.column != ROW)


def _one(before: Sequence[Frame], origin: Origin) -> Column:
    if isinstance(origin, From):
        return before[origin.side].of(origin.column)
    return Column(Root(None, origin.table, origin.column))
