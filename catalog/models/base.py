"""The declarative base of all catalog tables and the column kinds they share."""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, LargeBinary, MetaData, Text, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from headrace.catalog.engine import SCHEMA

Created = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Big = Annotated[int, mapped_column(BigInteger)]


class Base(DeclarativeBase):
    """Every table of the schema `headrace`."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map = {str: Text(), bytes: LargeBinary(), datetime: DateTime(timezone=True)}


class TenantOwned(Base):
    """The base of objects that belong to a tenant."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.tenants.id"))
    created_at: Mapped[Created]


def newest_first(name: str, owner: str) -> Index:
    """Returns the index for keyset pagination of one owner's objects, newest first."""
    return Index(name, owner, text("created_at DESC"), text("id DESC"))


def new_id(prefix: str) -> str:
    """Returns `<prefix>_` and 32 hex digits: 48 bits of milliseconds, so that ids sort roughly by age, then 80 random
    bits."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
