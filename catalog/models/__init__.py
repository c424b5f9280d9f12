"""SQLAlchemy models of the catalog's tables, one module per family."""

from headrace.catalog.models.applied import AppliedSet
from headrace.catalog.models.audit import AuditEntry, AuditHead
from headrace.catalog.models.base import Base, new_id
from headrace.catalog.models.connectors import Connector
from headrace.catalog.models.hooks import HookKey, HookReader, HookRecord, HookSpool
from headrace.catalog.models.metrics import PartitionSeconds, RunTotals
from headrace.catalog.models.pipelines import DeploymentChange, DueRun, Pipeline, PipelineIrVersion
from headrace.catalog.models.replications import (
    Replication,
    ReplicationRequest,
    ReplicationRun,
    ReplicationRunTable,
    ReplicationTable,
)
from headrace.catalog.models.runs import PipelineRun, RunError, RunErrorCount, RunLog, RunNode, RunPartition, RunRequest
from headrace.catalog.models.schemas import DataSchema, SchemaField, SchemaStatistics
from headrace.catalog.models.sources import FoundColumns
from headrace.catalog.models.tenants import ApiKey, ConsoleSession, Tenant
from headrace.catalog.models.yaml_connectors import YamlConnector, YamlConnectorVersion

__all__ = [
    "ApiKey",
    "AppliedSet",
    "AuditEntry",
    "AuditHead",
    "Base",
    "Connector",
    "ConsoleSession",
    "DataSchema",
    "DeploymentChange",
    "DueRun",
    "FoundColumns",
    "HookKey",
    "HookReader",
    "HookRecord",
    "HookSpool",
    "PartitionSeconds",
    "Pipeline",
    "PipelineIrVersion",
    "PipelineRun",
    "Replication",
    "ReplicationRequest",
    "ReplicationRun",
    "ReplicationRunTable",
    "ReplicationTable",
    "RunError",
    "RunErrorCount",
    "RunLog",
    "RunNode",
    "RunPartition",
    "RunRequest",
    "RunTotals",
    "SchemaField",
    "SchemaStatistics",
    "Tenant",
    "YamlConnector",
    "YamlConnectorVersion",
    "new_id",
]
