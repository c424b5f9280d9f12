"""The generated files of `docs/`, by name."""

from __future__ import annotations

import json
from pathlib import Path

from deployments.commands.files_schema import files_schema
from docs.generate.reference import reference
from flows.document_schema import published_schema

DOCS = Path(__file__).parents[1]


def pages() -> dict[str, str]:
    """File name → its content as the code has it now."""
    return {
        "pipeline-ir.schema.json": _json(published_schema()),
        "files.schema.json": _json(files_schema()),
        "reference.md": reference(published_schema()),
    }


def _json(schema: dict[str, object]) -> str:
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
