"""Tenancy, applied here and nowhere else: every query of every repository starts from `owned`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

import psycopg
from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.interfaces import ORMOption

from catalog.errors import Conflict
from catalog.models.base import TenantOwned

Owned = TypeVar("Owned", bound=TenantOwned)

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list ordered newest first: the creation time and id of an object."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Owned]):
    """Consecutive objects of a list, the length of the whole list, and where the next page starts (None: nowhere)."""

    items: Sequence[Owned]
    total: int
    next: Position | None


class TenantRepository(Generic[Owned]):
    """The objects of one kind that belong to one tenant; those of others do not exist here."""

    model: type[Owned]
    noun: ClassVar[str]
    """What a person calls the kind, for messages."""
    options: ClassVar[tuple[ORMOption, ...]] = ()
    """What is loaded along with every object."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self.session = session
        self.tenant_id = tenant_id

    def owned(self) -> Select[Any]:
        """All objects of the tenant, unordered."""
        return select(self.model).where(self.model.tenant_id == self.tenant_id)

    def get(self, object_id: str) -> Owned | None:
        """The object of that id; None when there is none or it is another tenant's, in the same time."""
        if not _ID.fullmatch(object_id):
            return None
        query = self.owned().where(self.model.id == object_id).options(*self.options)
        found: Owned | None = self.session.scalar(query)
        return found

    def lock(self, object_id: str) -> Owned | None:
        """`get`, as it stands now and closed to other writers until the transaction ends."""
        if not _ID.fullmatch(object_id):
            return None
        query = self.owned().where(self.model.id == object_id).options(*self.options)
        locked = query.with_for_update(of=self.model)
        found: Owned | None = self.session.scalar(locked, execution_options={"populate_existing": True})
        return found

    def page(
        self, *, limit: int, after: Position | None = None, where: Sequence[ColumnElement[bool]] = ()
    ) -> Page[Owned]:
        """Objects newest first, `limit` at most, behind `after`; `where` narrows the list."""
        chosen = self.owned().where(*where)
        counted = select(func.count()).select_from(chosen.with_only_columns(self.model.id).subquery())
        if after is not None:
            chosen = chosen.where(tuple_(self.model.created_at, self.model.id) < (after.created_at, after.id))
        newest = chosen.order_by(self.model.created_at.desc(), self.model.id.desc()).limit(limit + 1)
        found = self.session.scalars(newest.options(*self.options)).all()
        items = found[:limit]
        more = Position(items[-1].created_at, items[-1].id) if len(found) > limit else None
        return Page(items, self.session.scalar(counted) or 0, more)

    def add(self, item: Owned) -> Owned:
        """Stores a new object as the tenant's. Raises Conflict when its name is taken."""
        item.tenant_id = self.tenant_id
        self.session.add(item)
        self._flush()
        return item

    def save(self, item: Owned) -> Owned:
        """Stores what was changed in an object. Raises Conflict when its new name is taken."""
        self._flush()
        return item

    def remove(self, item: Owned) -> None:
        """Deletes an object. Raises Conflict while another one refers to it."""
        self.session.delete(item)
        self._flush()

    def _flush(self) -> None:
        try:
            self.session.flush()
        except IntegrityError as error:
            if isinstance(error.orig, psycopg.errors.UniqueViolation):
                raise Conflict(f"There is already a {self.noun} of that name") from error
            if isinstance(error.orig, psycopg.errors.ForeignKeyViolation):
                raise Conflict(f"The {self.noun} is in use, or what it refers to is gone") from error
            raise
