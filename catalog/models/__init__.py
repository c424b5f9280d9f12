"""The tables of the catalog, one module per family."""

from catalog.models.base import Base, new_id
from catalog.models.connectors import Connector
from catalog.models.pipelines import Pipeline, PipelineIrVersion
from catalog.models.runs import PipelineRun, RunError, RunLog, RunNode, RunPartition, RunRequest
from catalog.models.schemas import DataSchema, SchemaField
from catalog.models.tenants import ApiKey, Tenant

__all__ = [
    "ApiKey",
    "Base",
    "Connector",
    "DataSchema",
    "Pipeline",
    "PipelineIrVersion",
    "PipelineRun",
    "RunError",
    "RunLog",
    "RunNode",
    "RunPartition",
    "RunRequest",
    "SchemaField",
    "Tenant",
    "new_id",
]
