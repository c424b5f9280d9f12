"""The generated files of `docs/`, by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks import report
from docs.generate.exactness import exactness
from docs.generate.reference import reference
from headrace.connectors.http.definition.model import json_schema as connector_schema
from headrace.deployments.cli.documents.json_schema import files_schema
from headrace.flows.validation.document_schema import published_schema
from headrace.ir.replication.json_schema import replication_schema
from tests.connectors.conformance.matrix import FORMATS, PLACES

DOCS = Path(__file__).parents[1]


def pages() -> dict[str, str]:
    """File name → its content as the code has it now."""
    return {
        "pipeline-ir.schema.json": _json(published_schema()),
        "files.schema.json": _json(files_schema()),
        "connector.schema.json": _json(connector_schema()),
        "exactness.md": exactness(),
        "replication.schema.json": _json(replication_schema()),
        "reference.md": reference(published_schema()),
        "connectors.md": _with_conformance((DOCS / "connectors.md").read_text(encoding="utf-8")),
        **report.pages(),
    }


def _with_conformance(page: str) -> str:
    """The page with the table of what the conformance tests read from where: each format in each place."""
    rows = [["", *(f"`{place}`" for place in PLACES)], ["---"] * (1 + len(PLACES))]
    rows += [[name, *("✓" for _ in PLACES)] for name in FORMATS]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    begin, end = "<!-- conformance: written by `make docs` -->\n", "<!-- end of conformance -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}{table}\n{end}", page, count=1, flags=re.DOTALL)


def _json(schema: dict[str, object]) -> str:
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
