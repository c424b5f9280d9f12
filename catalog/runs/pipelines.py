"""Pipelines as their runs need them, and the login of these runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.repositories.connectors import chosen, named_connectors
from headrace.catalog.runs import statements
from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.catalog.schemas.ddl import TABLE_SCHEMA
from headrace.catalog.security.credentials import Keyring
from headrace.catalog.security.database_roles import tenant_url
from headrace.catalog.settings import Settings, settings
from headrace.catalog.yaml_documents import load_documents, references_of


class RunPipelineStore:
    """Pipelines by id; `keyring` decrypts connector credentials, by default that of the settings."""

    def __init__(self, engine: Engine, *, keyring: Keyring | None = None) -> None:
        self._engine = engine
        self._keyring = keyring

    def load(self, pipeline_id: str, ir_version: int | None) -> RunPipeline:
        """Reads the pipeline with that IR version, or with the live one for None.

        Raises PipelineMissing, NoIr, CredentialsUnreadable.
        """
        with self._engine.connect() as connection:
            wanted = {"pipeline_id": pipeline_id, "ir_version": ir_version}
            found = connection.execute(statements.PIPELINE, wanted).one_or_none()
            named = named_connectors(found.ir) if found is not None and found.ir is not None else []
            others: Sequence[Any] = ()
            if found is not None and named:
                others = connection.execute(statements.CONNECTORS, {"tenant_id": found.tenant_id, "named": named}).all()
            documents: dict[str, dict[str, Any]] = {}
            if found is not None and found.ir is not None:
                known = [(found.connector_type, found.config), *((other.type, other.config) for other in others)]
                documents = load_documents(connection, found.tenant_id, references_of(found.ir, known))
        if found is None:
            raise PipelineMissing(f"There is no pipeline {pipeline_id}")
        if found.ir_version is None:
            raise NoIr(f"The pipeline '{found.name}' has no IR to run")
        if found.ir is None:
            raise PipelineMissing(f"The pipeline '{found.name}' has no IR version {found.ir_version}")
        return RunPipeline(
            id=found.id,
            tenant_id=found.tenant_id,
            name=" ".join(found.name.split()),  # earlier releases accepted line ends
            ir=found.ir,
            ir_version=found.ir_version,
            connector=self._record(found.connector_id, found.connector_type, found.config, found.auth_sealed),
            execution_config=found.execution_config,
            tables=frozenset(f"{TABLE_SCHEMA}.{table}" for table in found.tables),
            named={
                name: self._record(other.id, other.type, other.config, other.auth_sealed)
                for name in named
                if (other := chosen(name, others)) is not None
            },
            documents=documents,
        )

    def _record(self, record_id: str, kind: str, config: dict[str, Any], sealed: bytes | None) -> ConnectorRecord:
        record = ConnectorRecord(record_id, kind, config)
        if sealed is None:
            return record
        keyring = self._keyring or settings().keyring
        return replace(record, credentials=keyring.unseal(sealed, connector_id=record_id))

    def target_url(self, chosen: Settings, tenant_id: str) -> str:
        """Returns the libpq URL with which the tenant's runs access their tables."""
        key = chosen.tenant_login_key
        return tenant_url(self._engine, chosen.for_runs, tenant_id, key.get_secret_value() if key else None)
