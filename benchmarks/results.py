"""Results as JSON files, one per machine: `benchmarks/results/<machine>.json`. A benchmark that is measured again
replaces what was stored of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("results")


def stored() -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each machine, and its results."""
    for path in sorted(FOLDER.glob("*.json")):
        yield path.stem, read(path)


def read(path: Path) -> dict[str, Any]:
    """The results in a file; without any if there is no file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {"machine": {}, "benchmarks": {}} | found


def add(path: Path, machine: dict[str, Any], name: str, result: dict[str, Any]) -> None:
    """Stores the result of one benchmark."""
    found = read(path)
    found["machine"] = machine
    found["benchmarks"] = dict(sorted((found["benchmarks"] | {name: result}).items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
