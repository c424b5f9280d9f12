"""Examples of the schemas in the OpenAPI document, collected from the resources.

They are not declared on the models, because FastAPI drops nulls from examples given there.
"""

from __future__ import annotations

from typing import Any

import headrace.api.api_keys.examples
import headrace.api.audit.examples
import headrace.api.connector_types.examples
import headrace.api.connectors.examples
import headrace.api.dlq.examples
import headrace.api.hooks.examples
import headrace.api.ir.examples
import headrace.api.lineage.examples
import headrace.api.pipelines.examples
import headrace.api.plans.examples
import headrace.api.replications.examples
import headrace.api.runs.examples
import headrace.api.scheduler.examples
import headrace.api.schema_fields.examples
import headrace.api.schema_rows.examples
import headrace.api.schemas.examples
import headrace.api.sources.examples
import headrace.api.yaml_connectors.examples

EXAMPLES: dict[str, Any] = {
    **headrace.api.api_keys.examples.EXAMPLES,
    **headrace.api.audit.examples.EXAMPLES,
    **headrace.api.connector_types.examples.EXAMPLES,
    **headrace.api.connectors.examples.EXAMPLES,
    **headrace.api.dlq.examples.EXAMPLES,
    **headrace.api.hooks.examples.EXAMPLES,
    **headrace.api.ir.examples.EXAMPLES,
    **headrace.api.lineage.examples.EXAMPLES,
    **headrace.api.pipelines.examples.EXAMPLES,
    **headrace.api.plans.examples.EXAMPLES,
    **headrace.api.replications.examples.EXAMPLES,
    **headrace.api.runs.examples.EXAMPLES,
    **headrace.api.scheduler.examples.EXAMPLES,
    **headrace.api.schema_fields.examples.EXAMPLES,
    **headrace.api.schema_rows.examples.EXAMPLES,
    **headrace.api.schemas.examples.EXAMPLES,
    **headrace.api.sources.examples.EXAMPLES,
    **headrace.api.yaml_connectors.examples.EXAMPLES,
}
"""Examples by schema name."""
