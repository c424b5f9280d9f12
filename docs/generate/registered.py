"""Everything a document may name, from the registries, with its example and the test that runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.connectors.files.formats import FORMATS
from headrace.connectors.postgresql.modes import MODES
from headrace.ir.dataset_rules import DatasetLevel
from headrace.ir.nodes import NODES
from headrace.ir.ops import OPS
from headrace.ir.rules import RULES

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
EXAMPLE_TEST = "tests/examples/test_examples.py::test_an_example_gives_what_it_promises"


@dataclass(frozen=True, slots=True)
class Registered:
    """`group` is its folder in `examples/`, `what` the word for its kind."""

    group: str
    what: str
    name: str

    @property
    def folder(self) -> Path:
        """The folder of its example."""
        return EXAMPLES / self.group / self.name

    @property
    def shown(self) -> bool:
        """Whether the example exists and uses it."""
        path = self.folder / "pipeline.json"
        return path.exists() and (self.group, self.name) in set(named(json.loads(path.read_text())))


def registered() -> Iterator[Registered]:
    """Nodes, ops, rules, load modes and formats of files, in the order of their registries."""
    dataset_rules = [str(field.alias) for field in DatasetLevel.model_fields.values()]
    for group, what, names in (
        ("nodes", "node", NODES),
        ("ops", "op", OPS),
        ("rules", "row rule", RULES),
        ("dataset_rules", "dataset rule", dataset_rules),
        ("load_modes", "load mode", MODES),
        ("formats", "format", FORMATS),
    ):
        yield from (Registered(group, what, name) for name in names)


def named(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(group, name) of everything that a document uses."""
    for node in document["nodes"]:
        yield "nodes", node["kind"]
        yield from (("ops", op["type"]) for op in node.get("ops", ()))
        yield from (("rules", rule["rule"].partition(":")[0].strip()) for rule in node.get("rowLevel", ()))
        yield from (("dataset_rules", name) for name in node.get("datasetLevel", ()))
        if node["kind"] == "source" and "format" in node.get("config", {}):
            yield "formats", node["config"]["format"]
        if node["kind"] == "target":
            yield "load_modes", node.get("loadMode", "append")


def hooks_of(folder: Path) -> set[str]:
    """The types of the hooks in an example."""
    nodes = json.loads((folder / "pipeline.json").read_text())["nodes"]
    found = [node.get(key, []) for node in nodes for key in ("preHook", "postHook")]
    return {hook["type"] for hooks in found for hook in (hooks if isinstance(hooks, list) else [hooks])}
