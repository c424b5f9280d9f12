"""What other systems have sent to connectors of type `webhook`, until it is loaded."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.models.base import Base, Big, Created
from headrace.catalog.models.connectors import Connector
from headrace.catalog.models.pipelines import Pipeline


class HookSpool(Base):
    """The records of a connector: those after `freed_seq`, up to `last_seq`, are there, without gaps. `bytes` is their
    size, `keys` the number of idempotency keys that are kept.

    A session that adds or removes records locks this row first, so that records are committed in the order of their
    numbers.
    """

    __tablename__ = "hook_spools"

    connector_id: Mapped[str] = mapped_column(ForeignKey(Connector.id, ondelete="CASCADE"), primary_key=True)
    last_seq: Mapped[Big] = mapped_column(server_default="0")
    freed_seq: Mapped[Big] = mapped_column(server_default="0")
    bytes: Mapped[Big] = mapped_column(server_default="0")
    keys: Mapped[Big] = mapped_column(server_default="0")
    last_received_at: Mapped[datetime | None]


class HookRecord(Base):
    """One request body. `headers` is a JSON object of those that the connector keeps."""

    __tablename__ = "hook_records"

    connector_id: Mapped[str] = mapped_column(ForeignKey(HookSpool.connector_id, ondelete="CASCADE"), primary_key=True)
    seq: Mapped[Big] = mapped_column(primary_key=True)
    received_at: Mapped[datetime]
    request_id: Mapped[str]
    key: Mapped[str | None]
    headers: Mapped[str | None]
    size: Mapped[Big]
    body: Mapped[bytes]


class HookKey(Base):
    """An idempotency key of the last hours (its SHA-256), with the SHA-256 of the body that came with it, and the
    number of the record."""

    __tablename__ = "hook_keys"

    connector_id: Mapped[str] = mapped_column(ForeignKey(HookSpool.connector_id, ondelete="CASCADE"), primary_key=True)
    key: Mapped[bytes] = mapped_column(primary_key=True)
    digest: Mapped[bytes]
    seq: Mapped[Big]
    received_at: Mapped[datetime]

    __table_args__ = (Index("hook_keys_oldest", "connector_id", "received_at"),)


class HookReader(Base):
    """How far a source node of a pipeline has loaded the records."""

    __tablename__ = "hook_readers"

    connector_id: Mapped[str] = mapped_column(ForeignKey(HookSpool.connector_id, ondelete="CASCADE"), primary_key=True)
    pipeline_id: Mapped[str] = mapped_column(ForeignKey(Pipeline.id, ondelete="CASCADE"), primary_key=True)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[Big]
    updated_at: Mapped[Created]
