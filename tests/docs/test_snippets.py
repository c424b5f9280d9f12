"""The JSON of the pages is valid: documents as they are, nodes within one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.ir.nodes import NODES
from headrace.ir.parsing.parser import parse_ir
from tests.docs.pages import ROOT, blocks

PAGES = sorted((ROOT / "docs").glob("*.md"))
_HEAD = {"kind": "pipeline", "version": "1.0", "id": "shown", "metadata": {"name": "Shown"}}


def snippets() -> Iterator[Any]:
    for page in PAGES:
        for number, text in enumerate(blocks(page, "json")):
            yield pytest.param(page, text, id=f"{page.stem}-{number}")


def around(node: dict[str, Any]) -> dict[str, Any]:
    """A document with the node, sources for its inputs and a target for its rows."""
    names = [name for key in ("input", "inputs") for name in _listed(node.get(key))]
    sources = [{"id": name, "kind": "source", "connector": "local_fs", "config": {"path": "a.csv"}} for name in names]
    output = f"{node['id']}.{node['routes'][0]['name']}" if node["kind"] == "branch" else node["id"]
    target = {"id": "loaded", "kind": "target", "input": output, "schema": "public.ds_shown"}
    return {**_HEAD, "nodes": [*sources, node, *([] if node["kind"] == "target" else [target])]}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


@pytest.mark.parametrize(("page", "text"), list(snippets()))
def test_a_snippet_is_valid(page: Path, text: str) -> None:
    shown = json.loads(text)
    kind = shown.get("kind")
    if kind == "pipeline" or kind in NODES:
        document = shown if kind == "pipeline" else around(shown)
        assert parse_ir(document).problems == [], page


def test_inline_nodes_and_schedules_are_valid() -> None:
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for text in re.findall(r"`(\{\"kind\": \"(?:cron|interval|rrule)\"[^`]*\})`", prose):
            document = around(
                {"id": "in", "kind": "transform", "input": "src", "ops": [{"type": "drop", "fields": ["a"]}]}
            )
            assert parse_ir({**document, "schedule": json.loads(text)}).problems == [], text
