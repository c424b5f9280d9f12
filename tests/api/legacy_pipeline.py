"""A pipeline in the legacy format."""

from __future__ import annotations

import re
from typing import Any

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


LEGACY: dict[str, Any] = {
    "name": "Customer Import",
    "schedule": "0 2 * * *",
    "executionConfig": {"batchSize": 5000, "parallelism": 4},
    "nodes": [
        {"id": "n1", "nodeType": "source", "label": "Snowflake Source", "config": {}},
        {"id": "n2", "nodeType": "transform", "label": "Rename Fields", "config": {"type": "rename_field"}},
        {"id": "n3", "nodeType": "target", "label": "Customer Table", "config": {}, "position": {"x": 1, "y": 2.5}},
    ],
    "edges": [{"source": "n1", "target": "n2"}, {"source": "n2", "target": "n3", "id": "e2"}],
}
