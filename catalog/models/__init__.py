"""The tables of the catalog, one module per family."""

from catalog.models.applied import AppliedSet
from catalog.models.audit import AuditEntry, AuditHead
from catalog.models.base import Base, new_id
from catalog.models.connectors import Connector
from catalog.models.metrics import PartitionSeconds, RunTotals
from catalog.models.pipelines import DeploymentChange, Pipeline, PipelineIrVersion
from catalog.models.runs import PipelineRun, RunError, RunLog, RunNode, RunPartition, RunRequest
from catalog.models.schemas import DataSchema, SchemaField, SchemaStatistics
from catalog.models.tenants import ApiKey, Tenant

__all__ = [
    "ApiKey",
    "AppliedSet",
    "AuditEntry",
    "AuditHead",
    "Base",
    "Connector",
    "DataSchema",
    "DeploymentChange",
    "PartitionSeconds",
    "Pipeline",
    "PipelineIrVersion",
    "PipelineRun",
    "RunError",
    "RunLog",
    "RunNode",
    "RunPartition",
    "RunRequest",
    "RunTotals",
    "SchemaField",
    "SchemaStatistics",
    "Tenant",
    "new_id",
]
