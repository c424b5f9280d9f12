"""A tenant's applied sets: which objects came from files, by the name of the set."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from catalog.models import AppliedSet, new_id
from catalog.repositories.base import TenantRepository


class AppliedSetRepository(TenantRepository[AppliedSet]):
    """Sets by name; one that was never written is not there, and owns nothing."""

    model = AppliedSet
    noun = "applied set"

    def named(self, name: str) -> AppliedSet | None:
        """The set of that name."""
        found: AppliedSet | None = self.session.scalar(self.owned().where(AppliedSet.name == name))
        return found

    def put(self, name: str, objects: list[dict[str, Any]]) -> AppliedSet:
        """Makes these the objects of the set, whether it was there or not."""
        facts = {"id": new_id("set"), "tenant_id": self.tenant_id, "name": name, "objects": objects}
        statement = insert(AppliedSet).values(facts)
        again = {"objects": statement.excluded.objects, "updated_at": func.now()}
        query = statement.on_conflict_do_update(constraint="applied_sets_name", set_=again).returning(AppliedSet)
        return self.session.scalars(query, execution_options={"populate_existing": True}).one()
