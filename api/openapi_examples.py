"""Examples of every shape in the OpenAPI document, from the resources.

Beside the models because FastAPI drops the nulls of examples that are given there.
"""

from __future__ import annotations

from typing import Any

import api.api_keys.examples
import api.audit.examples
import api.connector_types.examples
import api.connectors.examples
import api.dlq.examples
import api.ir.examples
import api.lineage.examples
import api.pipelines.examples
import api.plans.examples
import api.runs.examples
import api.scheduler.examples
import api.schema_fields.examples
import api.schema_rows.examples
import api.schemas.examples

EXAMPLES: dict[str, Any] = {
    **api.api_keys.examples.EXAMPLES,
    **api.audit.examples.EXAMPLES,
    **api.connector_types.examples.EXAMPLES,
    **api.connectors.examples.EXAMPLES,
    **api.dlq.examples.EXAMPLES,
    **api.ir.examples.EXAMPLES,
    **api.lineage.examples.EXAMPLES,
    **api.pipelines.examples.EXAMPLES,
    **api.plans.examples.EXAMPLES,
    **api.runs.examples.EXAMPLES,
    **api.scheduler.examples.EXAMPLES,
    **api.schema_fields.examples.EXAMPLES,
    **api.schema_rows.examples.EXAMPLES,
    **api.schemas.examples.EXAMPLES,
}
"""By the name of the schema."""
