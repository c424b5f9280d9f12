"""Documents with an enrich node."""

from __future__ import annotations

from typing import Any

URL = "https://api.example.com/v1"


def document(provider: str = "http", config: Any = None, **node: Any) -> dict[str, Any]:
    enrich = {"id": "ask", "kind": "enrich", "input": "src", "provider": provider, "fields": ["a"], "outputField": "b"}
    return {
        "kind": "pipeline",
        "version": "1.0",
        "id": "p",
        "metadata": {"name": "P"},
        "nodes": [
            {"id": "src", "kind": "source", "connector": "local_fs", "config": {}},
            enrich | ({} if config is None else {"config": config}) | node,
            {"id": "tgt", "kind": "target", "input": "ask", "schema": "public.t"},
        ],
    }
