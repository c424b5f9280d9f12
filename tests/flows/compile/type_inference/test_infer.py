"""Types of undeclared CSV columns: those of the table, or unchanged text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import ROW
from headrace.flows.compile import TargetColumn, logical_plan
from headrace.flows.compile.logical_node import LogicalPlan
from headrace.flows.compile.stages.segment import fuse
from headrace.flows.compile.step import Step
from headrace.flows.compile.type_inference.infer import InferredTypes, View, infer_types
from headrace.flows.runtime.transform.row_counts import RowCounts
from headrace.flows.runtime.transform.segment_runner import run_segment
from headrace.ir import parse_ir
from headrace.ir.schema import Field, Schema

TEXT, NUMBER = Field("v", "text"), Field("v", "integer")


class Plan:
    """A document over files, compiled as a run would."""

    def __init__(self, folder: Path, files: Mapping[str, str], nodes: list[dict[str, Any]], tables: dict[str, Schema]):
        document = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "p"}, "nodes": []}
        self.sources: dict[str, FileSource] = {}
        for name, content in files.items():
            (folder / f"{name}.csv").write_text(content)
            self.sources[name] = local_files({"path": f"{name}.csv"}, files_root=folder)
            node = {"id": name, "kind": "source", "connector": "local_fs", "config": {"path": f"{name}.csv"}}
            document["nodes"].append(node)
        document["nodes"] += nodes
        parsed = parse_ir(document)
        assert parsed.ir is not None, parsed.problems
        self.ir = parsed.ir
        self.found = {name: source.discover(max_partitions=1) for name, source in self.sources.items()}
        targets = {node: [TargetColumn(field) for field in schema] for node, schema in tables.items()}
        schemas = {name: found.schema for name, found in self.found.items()}

        def compiled(settled: InferredTypes) -> LogicalPlan:
            return logical_plan(self.ir, settled.schemas, targets, views=settled.views)

        first = compiled(InferredTypes(schemas, {}))
        self.settled = infer_types(
            self.ir,
            schemas,
            {name: found.guessed for name, found in self.found.items()},
            targets,
            {node: tuple(each.schema) for node, each in first.nodes.items()},
            lambda node, columns: self.sources[node].types_of(columns),
            lambda tried: len(compiled(tried).problems),
        )
        self.plan = compiled(self.settled)
        assert not self.plan.problems

    def types(self, source: str = "src") -> dict[str, str]:
        return {field.name: field.data_type for field in self.settled.schemas[source]}

    def rows(self, *path: str) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
        """What comes out of the last node of a path that begins with a source, and the row and column of each error."""
        found = self.found[path[0]]
        batches = [
            b for part in found.partitions for b in self.sources[path[0]].read(part, self.settled.schemas[path[0]])
        ]
        frame = pl.concat(batch.frame for batch in batches)
        errors = [cell for batch in batches for cell in batch.rejects.select("row", "column").rows()]
        for node in path[1:]:
            local: list[Step] = []
            for step in (*self.plan.nodes[node].steps, None):
                if step is not None and step.shuffle is None:
                    local.append(step)
                    continue
                for segment in fuse(local):
                    sieved = run_segment(segment, frame, RowCounts.of([node]))
                    frame = sieved.frame
                    errors += [cell for each in sieved.rejects for cell in each.cells.select("row", "column").rows()]
                local = []
                if step is not None and step.shuffle is not None:
                    frame = step.shuffle.apply([frame.lazy()]).collect()
        return frame, errors


def src(*nodes: dict[str, Any], table: Schema = (TEXT,), text: str, folder: Path) -> Plan:
    chain = [{**node, "input": nodes[at - 1]["id"] if at else "src"} for at, node in enumerate(nodes)]
    target = {"id": "tgt", "kind": "target", "input": nodes[-1]["id"] if nodes else "src", "schema": "public.ds_t"}
    return Plan(folder, {"src": text}, [*chain, target], {"tgt": table})


def ops(*given: dict[str, Any]) -> dict[str, Any]:
    return {"id": "ops", "kind": "transform", "ops": list(given)}


AS_WRITTEN = ["+4915112345678", "1.10", "1e5", "007", "TRUE", "-0", "2024-01-05 10:30+02", " 7 "]


@pytest.mark.parametrize("value", AS_WRITTEN)
def test_what_lands_in_text_is_the_cell_as_written(tmp_path: Path, value: str) -> None:
    plan = src(text=f"v\n{value}\n{value}\n", folder=tmp_path)
    assert plan.rows("src", "tgt")[0]["v"].to_list() == [value, value]


PASSING: list[dict[str, Any]] = [
    {"type": "rename", "from": "n", "to": "v"},
    {"type": "drop", "fields": ["other"]},
    {"type": "filter", "expression": "n * 2 > 3"},
    {"type": "add_field", "field": "v", "expression": "n"},
    {"type": "expression", "field": "other", "expression": "n + 1"},
    {"type": "deduplicate", "keys": ["other"], "orderBy": ["n"]},
    {"type": "sort", "by": [{"field": "n", "direction": "desc"}]},
]


@pytest.mark.parametrize("op", PASSING, ids=lambda op: op["type"])
def test_every_op_that_passes_a_cell_on_leaves_it_as_written(tmp_path: Path, op: dict[str, Any]) -> None:
    text = "n,other\n" + "".join(f"{n}.10,{n}\n" for n in range(2, 12)) + "+1.60,77\n"
    renames = op["type"] in ("rename", "add_field")
    nodes = [ops(op)] if renames else [ops(op, {"type": "rename", "from": "n", "to": "v"})]
    plan = src(*nodes, text=text, folder=tmp_path)
    frame, errors = plan.rows("src", "ops", "tgt")
    assert sorted(frame["v"].to_list()) == sorted([*(f"{n}.10" for n in range(2, 12)), "+1.60"])
    assert errors == []
    assert not [name for name in frame.columns if name.startswith("__") and name != ROW]


def test_a_sort_compares_numbers_and_keeps_their_text(tmp_path: Path) -> None:
    plan = src(ops({"type": "sort", "by": ["v"]}), text="v\n10.0\n9.50\n+1\n", folder=tmp_path)
    assert plan.rows("src", "ops", "tgt")[0]["v"].to_list() == ["+1", "9.50", "10.0"]


def test_a_column_takes_the_type_of_the_column_it_reaches(tmp_path: Path) -> None:
    table = (Field("id", "bigint"), Field("day", "date"), Field("price", "decimal", 10, 2), Field("t", "text"))
    mapping = {"price": "amount"}
    target = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_t", "mapping": mapping}
    text = "id,day,amount,t\n1,2024-01-05,1.005,01\nx,2024-01-06,1,02\n"
    plan = Plan(tmp_path, {"src": text}, [target], {"tgt": table})
    assert plan.types() == {"id": "bigint", "day": "date", "amount": "decimal", "t": "text"}
    frame, errors = plan.rows("src", "tgt")
    assert frame["t"].to_list() == ["01"]
    assert str(frame["price"][0]) == "1.01"
    assert errors == [(2, "id")]


def test_two_targets_each_read_the_cell_for_themselves(tmp_path: Path) -> None:
    targets = [{"id": each, "kind": "target", "input": "src", "schema": f"public.ds_{each}"} for each in ("a", "b")]
    plan = Plan(tmp_path, {"src": "v\n007\n1x\n"}, targets, {"a": (TEXT,), "b": (NUMBER,)})
    assert plan.rows("src", "a")[0]["v"].to_list() == ["007", "1x"]
    frame, errors = plan.rows("src", "b")
    assert (frame["v"].to_list(), errors) == ([7], [(2, "v")])


def test_a_row_on_its_way_to_another_table_does_not_fail_for_a_type_of_this_one(tmp_path: Path) -> None:
    branch = {
        "id": "br",
        "kind": "branch",
        "input": "src",
        "routes": [{"name": "a", "when": "k = 'a'"}],
        "default": "b",
    }
    targets = [
        {"id": each, "kind": "target", "input": f"br.{each}", "schema": f"public.ds_{each}"} for each in ("a", "b")
    ]
    plan = Plan(tmp_path, {"src": "k,v\na,1\nb,x\n"}, [branch, *targets], {"a": (NUMBER,), "b": (Field("k", "text"),)})
    assert plan.types()["v"] == "text"


def test_a_type_for_a_rule_is_decided_on_all_values(tmp_path: Path) -> None:
    rows = [str(n) for n in range(1, 3001)]
    rows[2500], rows[2700] = "1.5", "x"
    check = {"id": "ok", "kind": "validate", "rowLevel": [{"id": "r", "field": "v", "rule": "gt:2", "onFail": "skip"}]}
    plan = src(check, text="v\n" + "\n".join(rows) + "\n", folder=tmp_path)
    assert plan.settled.views == {"src": {"v": View(Field("v", "double"), None)}}
    frame, errors = plan.rows("src", "ok", "tgt")
    assert errors == [(2701, "v")]
    assert frame["v"].to_list() == [row for row in rows[2:] if row not in ("x", "1.5")]


def test_rules_about_text_and_about_values_look_at_one_column(tmp_path: Path) -> None:
    rules = [{"id": "r1", "field": "v", "rule": "gt:5"}, {"id": "r2", "field": "v", "rule": "max_length:3"},
             {"id": "r3", "field": "v", "rule": "unique"}]  # fmt: skip
    plan = src({"id": "ok", "kind": "validate", "rowLevel": rules}, text="v\n06\n4\n0123\n+9\n06\n", folder=tmp_path)
    frame, errors = plan.rows("src", "ok", "tgt")
    assert frame["v"].to_list() == ["06", "+9"]
    assert sorted(errors) == [(2, "v"), (3, "v"), (5, "v")]


def test_keys_are_compared_as_their_columns_see_them(tmp_path: Path) -> None:
    dedup = ops({"type": "deduplicate", "keys": ["v"]})
    text = "v\n7\n07\n 7\n8\n"
    assert src(dedup, text=text, folder=tmp_path).rows("src", "ops", "tgt")[0].height == 4
    assert src(dedup, table=(NUMBER,), text=text, folder=tmp_path).rows("src", "ops", "tgt")[0]["v"].to_list() == [7, 8]


def test_a_type_with_which_the_document_cannot_be_is_not_insisted_on(tmp_path: Path) -> None:
    plan = src(ops({"type": "filter", "expression": "v = '07'"}), text="v\n07\n8\n", folder=tmp_path)
    assert plan.rows("src", "ops", "tgt")[0]["v"].to_list() == ["07"]


def test_an_expression_may_compute_with_digits_that_land_as_written(tmp_path: Path) -> None:
    table = (TEXT, Field("twice", "double"))
    double = {"type": "add_field", "field": "twice", "expression": "v * 2"}
    frame, _ = src(ops(double), table=table, text="v\n1.10\n02.50\n", folder=tmp_path).rows("src", "ops", "tgt")
    assert frame.select("v", "twice").rows() == [("1.10", 2.2), ("02.50", 5.0)]


def test_the_right_keys_of_a_join_take_the_type_of_the_left_ones(tmp_path: Path) -> None:
    join = {
        "id": "j",
        "kind": "join",
        "inputs": ["src", "other"],
        "type": "inner",
        "on": [{"left": "id", "right": "key"}],
    }
    target = {"id": "tgt", "kind": "target", "input": "j", "schema": "public.ds_t"}
    files = {"src": "id\n1\n02\n", "other": "key,v\n01,1.10\n2,x\n"}
    plan = Plan(tmp_path, files, [join, target], {"tgt": (Field("id", "bigint"), TEXT)})
    assert (plan.types()["id"], plan.types("other")) == ("bigint", {"key": "bigint", "v": "text"})


@pytest.mark.parametrize(
    ("header", "table", "loaded", "reported"),
    [
        (" Id , NAME", ("id", "name"), ["id", "name"], "takes the column 'NAME'"),
        ("id,NAME,Name", ("id", "name"), ["id"], "nothing for name"),
        ("id,name", ("id", "name", "qty"), ["id", "name"], "the data have nothing for qty: null"),
    ],
)
def test_names_that_are_alike_are_matched_and_what_stays_empty_is_reported(
    tmp_path: Path, header: str, table: Sequence[str], loaded: list[str], reported: str
) -> None:
    cells = ",".join(str(place) for place in range(header.count(",") + 1))
    plan = src(table=tuple(Field(name, "text") for name in table), text=f"{header}\n{cells}\n", folder=tmp_path)
    assert list(plan.plan.nodes["tgt"].written) == loaded
    assert reported in " ".join(plan.plan.nodes["tgt"].notes)
