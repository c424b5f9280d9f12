"""Failed rows of forked pipelines run again: each comes where it is missing and nowhere else, however a replay ends."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from typing import Any

import polars as pl
import psycopg
import pytest

from headrace.connectors.postgresql.ledger.replayed import replayed_rows
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import find_open_rows
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform
from tests.flows.runtime.shop import Notebook

pytestmark = pytest.mark.postgres

ROWS = 60
FIELDS = {"id": "bigint", "kind": "text", "a": "text", "b": "text", "c": "text"}


class Ledgered(Notebook):
    """Keeps what failed as the catalog does."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: dict[tuple[int, int, str], set[int]] = {}

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        self.failed.setdefault((stage, partition, node), set()).update(cells.get_column("row"))


class Chain:
    """Runs that go on from each other, as the facade would have them."""

    def __init__(self, mill: Mill, origin: str) -> None:
        self.mill, self.origin = mill, origin
        self._plans: dict[str, Any] = {}
        self._journals: dict[str, Ledgered] = {}
        self._roots: dict[str, str] = {}

    def execution(self, run_id: str, nodes: list[Node], continues: Continuation) -> Execution:
        self._roots[run_id] = continues.root_run_id
        self.mill.recorder = self._journals.setdefault(continues.root_run_id, Ledgered())
        made = self.mill.execution(copy.deepcopy(nodes), run_id, continues=continues)
        self._plans[run_id] = json.loads(json.dumps(stored_plan(made.prepared)))
        return made

    def first(self, nodes: list[Node]) -> RunTotals:
        return run_in_threads(self.execution(self.origin, nodes, Continuation(root_run_id=self.origin)))

    def open_of(self, run_id: str) -> Any:
        with psycopg.connect(self.mill.url) as connection:
            done = replayed_rows(connection, self.origin)
        return find_open_rows(StoredPlan.of(self._plans[run_id]), self._journals[self._roots[run_id]].failed, done)

    def replay(self, run_id: str, of: str, nodes: list[Node]) -> Execution:
        """The failed rows of a run, to be run again."""
        left = self.open_of(of)
        continues = Continuation(run_id, of, self.origin, earlier_plan=self._plans[of], open_rows=left)
        return self.execution(run_id, nodes, continues)

    def again(self, run_id: str, of: str, nodes: list[Node]) -> Execution:
        """A replay that died, continued."""
        continues = Continuation(self._roots[of], of, self.origin, earlier_plan=self._plans[of])
        return self.execution(run_id, nodes, continues)

    @property
    def failed(self) -> dict[tuple[int, int, str], set[int]]:
        return self._journals[self.origin].failed


def dying(execution: Execution, sink: str) -> Execution:
    """It dies when the sink is to be written to."""
    original = execution._loader

    def loader(of: Any, index: int) -> Any:
        made = original(of, index)
        if of.id == sink:

            def fails(*_: Any) -> Any:
                raise RunFailed("killed")

            made.write = fails
        return made

    execution._loader = loader  # type: ignore[method-assign]
    return execution


def die(execution: Execution, sink: str) -> None:
    with pytest.raises(RunFailed, match="killed"):
        run_in_threads(dying(execution, sink))


class Forest:
    """A random tree of nodes after a source, with faults that can be corrected one by one."""

    def __init__(self, chance: random.Random, name: str) -> None:
        self._chance, self.name = chance, name
        self.nodes: list[Node] = [source(f"{name}.csv", FIELDS)]
        self.tables: dict[str, str] = {}
        self._open = 0
        self._grow("src", 0)

    def _named(self, kind: str) -> str:
        return f"{kind}{len(self.nodes)}"

    def _grow(self, before: str, depth: int) -> None:
        kinds = ["cast", "check", "filter", "fork", "fork", "branch", "end"]
        kind = "fork" if depth == 1 else "end" if depth > 5 else self._chance.choice(kinds[: 7 if depth else 2])
        if kind in ("fork", "branch") and len(self.tables) + self._open > 2:
            kind = "check"
        if kind == "fork":
            self._open += 1
            for _ in range(2):
                self._grow(before, depth + 1)
            return
        node = self._named(kind)
        if kind == "cast":
            column = self._chance.choice("abc")
            # What is cast is a copy: the same column may be cast on the way more than once.
            ops = [{"type": "cast", "field": column, "to": "integer"}, {"type": "cast", "field": column, "to": "text"}]
            self.nodes.append(transform(node, before, *ops))
        elif kind == "check":
            rule = {"id": "r", "field": self._chance.choice("abc"), "rule": "ne:7"}
            dlq = {"table": f"dlq.{self.name}"}
            self.nodes.append({"id": node, "kind": "validate", "input": before, "rowLevel": [rule], "quarantine": dlq})
        elif kind == "filter":
            self.nodes.append(
                transform(node, before, {"type": "filter", "expression": f"id % {self._chance.randint(2, 4)} <> 0"})
            )
        elif kind == "branch":
            routes = [
                {"name": "x", "when": f"kind = '{self._chance.choice('uv')}'"},
                {"name": "y", "when": f"id % {self._chance.randint(2, 3)} = 0"},
            ]
            default = self._chance.choice(["drop", "x", "rest"])
            self.nodes.append({"id": node, "kind": "branch", "input": before, "routes": routes, "default": default})
            self._open += 1
            for route in ["x", "rest" if default == "rest" else "y"]:
                self._grow(f"{node}.{route}", depth + 1)
            return
        else:
            table = f"{self.name}_{node}"
            self.tables[node] = table
            mode = self._chance.choice(["append", "append", "incremental_watermark"])
            options = {"watermarkColumn": "id"} if mode == "incremental_watermark" else {}
            self.nodes.append(target(node, before, table, loadMode=mode, **options))
            return
        self._grow(node, depth + 1)

    def corrected(self, share: float) -> list[Node]:
        """The nodes with some of the faults corrected."""
        nodes = copy.deepcopy(self.nodes)
        for node in nodes:
            if self._chance.random() < share:
                if node["kind"] == "transform" and node["ops"][0]["type"] == "cast":
                    node["ops"][0]["onError"] = "null"
                if node["kind"] == "validate":
                    node["rowLevel"][0]["rule"] = "ne:9999"
        return nodes

    def made_from_scratch(self, mill: Mill, nodes: list[Node], run_id: str) -> dict[str, Counter[int]]:
        """What a first run of the nodes gives, in tables of its own."""
        nodes = copy.deepcopy(nodes)
        for node in nodes:
            if node["kind"] == "target":
                table = f"{self.tables[node['id']]}_{run_id}"
                mill.alter(f"CREATE TABLE {table} (LIKE {self.tables[node['id']]} INCLUDING ALL)")
                node["schema"] = f"public.{table}"
            if node["kind"] == "validate":
                node["quarantine"] = {"table": f"dlq.{self.name}_{run_id}"}
        Chain(mill, f"{self.name}_{run_id}").first(nodes)
        return {node: ids(mill, f"{table}_{run_id}") for node, table in self.tables.items()}

    def loaded(self, mill: Mill) -> dict[str, Counter[int]]:
        return {node: ids(mill, table) for node, table in self.tables.items()}


def ids(mill: Mill, table: str) -> Counter[int]:
    return Counter(number for (number,) in mill.rows(f"SELECT id FROM {table}"))


def kept(mill: Mill, table: str) -> set[tuple[str, int]]:
    if mill.rows(f"SELECT to_regclass('dlq.{table}')") == [(None,)]:
        return set()
    found = mill.rows(f"SELECT node_id, row_number FROM dlq.{table}")
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.first_variant
def test_a_run_and_its_replays_come_to_what_one_run_of_the_corrected_version_gives(mill: Mill, seed: int) -> None:
    failed = died = 0
    for number in range(3):
        chance = random.Random(f"{seed}.{number}")
        forest = Forest(chance, f"f{number}")

        def cell(odds: float = 0.06, chance: random.Random = chance) -> str:
            return "bad" if chance.random() < odds else str(chance.randint(1, 12))

        mill.write(
            f"f{number}.csv",
            ",".join(FIELDS),
            [(row, chance.choice("uvw"), cell(), cell(), cell()) for row in range(1, ROWS + 1)],
        )
        for table in forest.tables.values():
            mill.table(table, "id bigint, kind text, a text, b text, c text CHECK (c <> '5')")
        chain = Chain(mill, f"f{number}_one")
        chain.first(forest.nodes)
        failed += bool(chain.failed)
        before = f"f{number}_one"
        for step, share in enumerate([0.5, 1.0]):
            if not chain.open_of(before):
                break
            nodes = forest.corrected(share)
            if step or chance.random() < 0.5:
                for table in forest.tables.values():
                    mill.alter(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_c_check")
            run_id = f"f{number}_{step}"
            if chance.random() < 0.7:
                died += 1
                die(chain.replay(run_id, before, nodes), chance.choice([*forest.tables]))
                if chance.random() < 0.3:  # not continued: the open rows are looked up again
                    run_in_threads(chain.replay(f"{run_id}_new", before, nodes))
                else:
                    run_in_threads(chain.again(f"{run_id}_new", run_id, nodes))
                run_id = f"{run_id}_new"
            else:
                run_in_threads(chain.replay(run_id, before, nodes))
            assert forest.loaded(mill) == forest.made_from_scratch(mill, nodes, f"scratch{step}"), forest.nodes
            left, fresh = kept(mill, forest.name), kept(mill, f"{forest.name}_scratch{step}")
            assert fresh <= left
            after = {node: reached(forest, node) for node, _ in left}
            loaded = forest.loaded(mill)
            assert not [(node, row) for node, row in left for end in after[node] if row in loaded[end]]
            before = run_id
    assert failed == 3
    assert died


def reached(forest: Forest, node: str) -> list[str]:
    """The targets downstream of a node."""
    onward = [each["id"] for each in forest.nodes if each.get("input", "").split(".")[0] == node]
    found = [end for each in onward for end in reached(forest, each)]
    return [node] if node in forest.tables else found


LINES = [(1, "u", "7", "1", "1"), (2, "u", "1", "7", "1"), (3, "v", "7", "7", "1"), (4, "v", "1", "1", "1")]


def check(node: str, before: str, column: str, rule: str = "ne:7") -> Node:
    rules = [{"id": "r", "field": column, "rule": rule}]
    return {"id": node, "kind": "validate", "input": before, "rowLevel": rules, "quarantine": {"table": "dlq.kept"}}


@pytest.fixture
def shop(mill: Mill) -> Mill:
    mill.write("rows.csv", ",".join(FIELDS), LINES)
    for table in ("one", "two", "three"):
        mill.table(table, "id bigint, kind text, a text, b text, c text")
    return mill


def forked() -> list[Node]:
    """Rows 1 and 3 fail on the way to `first`, 2 and 3 on that to `second`."""
    return [
        source("rows.csv", FIELDS),
        check("left", "src", "a"),
        target("first", "left", "one"),
        check("right", "src", "b"),
        target("second", "right", "two"),
    ]


@pytest.mark.slow
def test_what_another_way_of_a_row_keeps_in_quarantine_stays_there(shop: Mill) -> None:
    chain = Chain(shop, "run_1")
    chain.first(forked())
    corrected = forked()
    corrected[1] = check("left", "src", "a", "ne:9")
    replay = chain.replay("run_2", "run_1", corrected)
    assert run_in_threads(replay) == RunTotals(rows_in=3, rows_out=2, failed=2, skipped=0)
    assert shop.flow("src", "left", "first", "right", "second") == {
        "src": (3, 3, 0, 0),
        "left": (2, 2, 0, 0),
        "first": (2, 2, 0, 0),
        "right": (2, 0, 2, 0),
        "second": (0, 0, 0, 0),
    }
    assert kept(shop, "kept") == {("right", 2), ("right", 3)}
    corrected[3] = check("right", "src", "b", "ne:9")
    assert run_in_threads(chain.replay("run_3", "run_2", corrected)) == RunTotals(2, 2, 0, 0)
    assert ids(shop, "one") == ids(shop, "two") == Counter([1, 2, 3, 4])
    assert kept(shop, "kept") == set()


def test_a_target_that_is_new_gets_the_rows_and_one_that_took_anothers_table_does_not_get_them_twice(
    shop: Mill,
) -> None:
    chain = Chain(shop, "run_1")
    chain.first(forked())
    changed = [
        source("rows.csv", FIELDS),
        target("renamed", "src", "one"),  # 2 and 4 are in its table
        target("added", "src", "three"),
        check("right", "src", "b"),
        target("second", "right", "two"),
    ]
    run_in_threads(chain.replay("run_2", "run_1", changed))
    assert ids(shop, "one") == Counter([1, 2, 3, 4])
    assert ids(shop, "three") == Counter([1, 2, 3])
    assert ids(shop, "two") == Counter([1, 4])
    changed[3] = check("right", "src", "b", "ne:9")
    run_in_threads(chain.replay("run_3", "run_1", changed))  # of the first run, not of the replay
    assert [ids(shop, table) for table in ("one", "two", "three")] == [
        Counter([1, 2, 3, 4]),
        Counter([1, 2, 3, 4]),
        Counter([1, 2, 3]),
    ]


@pytest.mark.slow
def test_a_way_that_ended_is_not_taken_again_although_its_branch_says_something_else_now(shop: Mill) -> None:
    def nodes(when: str, rule: str) -> list[Node]:
        return [
            source("rows.csv", FIELDS),
            {"id": "by", "kind": "branch", "input": "src", "routes": [{"name": "u", "when": when}], "default": "rest"},
            target("first", "by.u", "one"),
            check("strict", "by.rest", "b", rule),
            target("second", "strict", "two"),
            check("left", "src", "a", rule),
            target("third", "left", "three"),
        ]

    chain = Chain(shop, "run_1")
    chain.first(nodes("kind = 'u'", "ne:7"))
    assert [ids(shop, table) for table in ("one", "two", "three")] == [Counter([1, 2]), Counter([4]), Counter([2, 4])]
    # 1 was missing in three alone; 3 failed on the way to two, and goes to one now.
    run_in_threads(chain.replay("run_2", "run_1", nodes("kind = 'v'", "ne:9")))
    assert [ids(shop, table) for table in ("one", "two", "three")] == [
        Counter([1, 2, 3]),
        Counter([4]),
        Counter([1, 2, 3, 4]),
    ]


def test_a_way_that_ended_stays_so_when_a_replay_fails_before_the_fork(shop: Mill) -> None:
    chain = Chain(shop, "run_1")
    chain.first(forked())
    strict = forked()
    strict.insert(1, check("early", "src", "c", "ne:1"))
    strict[2]["input"] = strict[4]["input"] = "early"
    assert run_in_threads(chain.replay("run_2", "run_1", strict)) == RunTotals(3, 0, 3, 0)
    strict[1] = check("early", "src", "c")
    strict[2], strict[4] = check("left", "early", "a", "ne:9"), check("right", "early", "b", "ne:9")
    assert run_in_threads(chain.replay("run_3", "run_2", strict)) == RunTotals(3, 4, 0, 0)
    assert ids(shop, "one") == ids(shop, "two") == Counter([1, 2, 3, 4])
    assert kept(shop, "kept") == set()


def test_rows_of_a_source_that_is_gone_are_not_forgotten(shop: Mill) -> None:
    shop.write("more.csv", ",".join(FIELDS), LINES)
    two = [*forked(), source("more.csv", FIELDS, "more"), target("others", "more", "three")]
    chain = Chain(shop, "run_1")
    shop.alter("ALTER TABLE three ADD CHECK (id < 3)")
    chain.first(two)
    shop.alter("ALTER TABLE three DROP CONSTRAINT three_id_check")
    with pytest.raises(RunFailed, match="of the source 'more', which is not in the pipeline any more"):
        chain.replay("run_2", "run_1", forked())
    turned = [*two[5:], *forked()]  # stages are numbered by the targets' order
    assert run_in_threads(chain.replay("run_3", "run_1", turned)) == RunTotals(5, 2, 4, 0)
    assert ids(shop, "three") == Counter([1, 2, 3, 4])
    assert (ids(shop, "one"), ids(shop, "two")) == (Counter([2, 4]), Counter([1, 4]))


def test_rows_without_a_way_in_the_live_version_are_reported_and_the_books_balance(shop: Mill) -> None:
    chain = Chain(shop, "run_1")
    chain.first(forked())
    alone = [source("rows.csv", FIELDS), target("second", "src", "two")]
    run_in_threads(chain.replay("run_2", "run_1", alone))
    assert ids(shop, "two") == Counter([1, 2, 3, 4])
    reported = "1 failed row not run again: their targets are no longer in the pipeline"
    assert ("extract", reported) in shop.recorder.lines
    routes = [{"name": "u", "when": "id < 3"}]
    parted = [
        source("rows.csv", FIELDS),
        {"id": "by", "kind": "branch", "input": "src", "routes": routes, "default": "rest"},
        target("first", "by.u", "one"),
        target("second", "by.rest", "two"),
    ]
    assert run_in_threads(chain.replay("run_3", "run_1", parted)) == RunTotals(2, 1, 0, 1)
    assert shop.flow("by") == {"by": (2, 1, 0, 1)}  # 3 is in two already
    with pytest.raises(RunFailed, match="nowhere to go"):
        chain.replay("run_4", "run_1", alone)


def test_rows_that_meet_others_are_not_run_again_and_the_node_is_named(shop: Mill) -> None:
    nodes = forked()
    first = shop.execution(nodes).prepared
    for op in (
        {"type": "sort", "by": [{"field": "id"}]},
        {"type": "unpivot", "fields": ["a", "b"], "nameTo": "name", "valueTo": "value"},
    ):
        nodes = [*forked()[:4], transform("together", "right", op), target("second", "together", "two")]
        plan = stored_plan(shop.execution(nodes).prepared)
        assert (plan["whole"], plan["entangling"]) == (False, "together")
        replay = Continuation("run_2", "run_1", "run_1", earlier_plan=stored_plan(first), open_rows={})
        with pytest.raises(RunFailed, match="node 'together' brings rows together or makes several of one"):
            prepare(shop.execution(nodes, "run_2", continues=replay).prepared.job)
