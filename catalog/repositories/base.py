"""The base of repositories. It applies tenancy: every query starts from `owned`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

import psycopg
from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.interfaces import ORMOption

from headrace.catalog.errors import Conflict, LimitReached
from headrace.catalog.models.base import TenantOwned

Owned = TypeVar("Owned", bound=TenantOwned)

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a list ordered newest first: the creation time and id of an object."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Owned]):
    """A page of a list, the length of the whole list, and the position of the next page (None for the last page)."""

    items: Sequence[Owned]
    total: int
    next: Position | None


class TenantRepository(Generic[Owned]):
    """The objects of one kind of one tenant; objects of other tenants are not found."""

    model: type[Owned]
    noun: ClassVar[str]
    """The name of the kind in messages."""
    options: ClassVar[tuple[ORMOption, ...]] = ()
    """Loader options of every query."""
    counted: ClassVar[str] = ""
    """The name of the limit of a tenant's objects (`HEADRACE_MAX_<counted>`); empty for no limit."""
    limits: Callable[[str], int] | None = None
    """Returns a limit of the tenant by name; None for no limits."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self.session = session
        self.tenant_id = tenant_id

    def owned(self) -> Select[Any]:
        """Returns the query of all objects of the tenant, unordered."""
        return select(self.model).where(self.model.tenant_id == self.tenant_id)

    def get(self, object_id: str) -> Owned | None:
        """Returns the object; None if it does not exist or belongs to another tenant, with the same query time."""
        if not _ID.fullmatch(object_id):
            return None
        query = self.owned().where(self.model.id == object_id).options(*self.options)
        found: Owned | None = self.session.scalar(query)
        return found

    def lock(self, object_id: str) -> Owned | None:
        """Like `get`, but reads the current row and locks it against other writers until the transaction ends."""
        if not _ID.fullmatch(object_id):
            return None
        query = self.owned().where(self.model.id == object_id).options(*self.options)
        locked = query.with_for_update(of=self.model)
        found: Owned | None = self.session.scalar(locked, execution_options={"populate_existing": True})
        return found

    def page(
        self, *, limit: int, after: Position | None = None, where: Sequence[ColumnElement[bool]] = ()
    ) -> Page[Owned]:
        """Returns at most `limit` objects after `after`, newest first, filtered by `where`."""
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
        """Stores a new object of the tenant. Raises Conflict if its name is taken, LimitReached if there are too
        many."""
        self.check_limit()
        item.tenant_id = self.tenant_id
        self.session.add(item)
        self._flush()
        return item

    def check_limit(self) -> None:
        """Raises LimitReached if the tenant has reached the limit."""
        if self.counted and self.limits is not None:
            most = self.limits(self.counted)
            found = self.owned().with_only_columns(self.model.id).limit(most).subquery()
            if (self.session.scalar(select(func.count()).select_from(found)) or 0) >= most:
                raise LimitReached(self.counted, most, f"{self.noun}s")

    def save(self, item: Owned) -> Owned:
        """Stores the changes of an object. Raises Conflict if its new name is taken."""
        self._flush()
        return item

    def remove(self, item: Owned) -> None:
        """Deletes an object. Raises Conflict while another object refers to it."""
        self.session.delete(item)
        self._flush()

    def _flush(self) -> None:
        try:
            self.session.flush()
        except IntegrityError as error:
            if isinstance(error.orig, psycopg.errors.UniqueViolation):
                raise Conflict(f"There is already a {self.noun} of that name") from error
            if isinstance(error.orig, psycopg.errors.ForeignKeyViolation):
                raise Conflict(f"The {self.noun} is in use, or an object that it refers to was deleted") from error
            raise
