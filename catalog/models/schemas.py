"""Schemas: the metadata of the `public.ds_*` tables that pipelines load."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from headrace.catalog.models.base import Base, Created, TenantOwned, newest_first


class DataSchema(TenantOwned):
    """One table of a tenant; `table_name` is its name in `public`."""

    __tablename__ = "schemas"

    name: Mapped[str]
    display_name: Mapped[str]
    description: Mapped[str | None]
    table_name: Mapped[str]
    entity_type: Mapped[str]
    schema_type: Mapped[str]
    status: Mapped[str]
    linked_schema_id: Mapped[str | None] = mapped_column(ForeignKey("headrace.schemas.id"))
    join_mapping: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    summary_columns: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    auto_enrich: Mapped[bool]
    updated_at: Mapped[Created]

    # loaded on request; a list of pipelines must not load every column of every table
    fields: Mapped[list[SchemaField]] = relationship(
        order_by="SchemaField.ordinal", lazy="raise", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="schemas_name"),
        UniqueConstraint("table_name", name="schemas_table_name"),
        newest_first("schemas_newest", "tenant_id"),
        Index("schemas_linked", "linked_schema_id"),
    )


class SchemaField(Base):
    """One column of a schema's table; `ordinal` counts from 1."""

    __tablename__ = "schema_fields"

    id: Mapped[str] = mapped_column(primary_key=True)
    schema_id: Mapped[str] = mapped_column(ForeignKey(DataSchema.id, ondelete="CASCADE"))
    name: Mapped[str]
    display_name: Mapped[str]
    data_type: Mapped[str]
    length: Mapped[int | None]
    precision: Mapped[int | None]
    scale: Mapped[int | None]
    is_nullable: Mapped[bool]
    is_primary_key: Mapped[bool]
    is_unique: Mapped[bool]
    is_predictor: Mapped[bool]
    default_value: Mapped[str | None]
    description: Mapped[str]
    ordinal: Mapped[int]

    __table_args__ = (UniqueConstraint("schema_id", "name", name="schema_fields_name"),)


class SchemaStatistics(Base):
    """Cached statistics of a schema's table; `sampled` if they are of a sample of its rows."""

    __tablename__ = "schema_statistics"

    schema_id: Mapped[str] = mapped_column(ForeignKey(DataSchema.id, ondelete="CASCADE"), primary_key=True)
    row_count: Mapped[int] = mapped_column(BigInteger)
    sampled: Mapped[bool]
    fields: Mapped[list[Any]] = mapped_column(JSONB)
    computed_at: Mapped[Created]
