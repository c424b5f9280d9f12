"""A tenant's applied sets: the objects that came from files, by the name of the set."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert

from headrace.catalog.models import AppliedSet, new_id
from headrace.catalog.repositories.base import TenantRepository

_TAKE = text("""
    WITH others AS MATERIALIZED (
        SELECT id FROM headrace.applied_sets s
        WHERE tenant_id = :tenant AND name <> :name AND EXISTS (
            SELECT FROM jsonb_array_elements(s.objects) AS o WHERE o ->> 'id' = ANY (CAST(:ids AS text[])))
        ORDER BY id FOR UPDATE)
    UPDATE headrace.applied_sets s SET updated_at = now(), objects = (
        SELECT coalesce(jsonb_agg(o.value ORDER BY o.ordinality), '[]')
        FROM jsonb_array_elements(s.objects) WITH ORDINALITY AS o
        WHERE NOT o.value ->> 'id' = ANY (CAST(:ids AS text[])))
    FROM others WHERE s.id = others.id
""")


class AppliedSetRepository(TenantRepository[AppliedSet]):
    """Applied sets by name."""

    model = AppliedSet
    noun = "applied set"
    counted = "applied_sets"

    def named(self, name: str) -> AppliedSet | None:
        """Returns the set of that name; None if it was never written."""
        found: AppliedSet | None = self.session.scalar(self.owned().where(AppliedSet.name == name))
        return found

    def put(self, name: str, objects: list[dict[str, Any]]) -> AppliedSet:
        """Creates the set, or replaces its objects. The objects are removed from other sets, so that those no longer
        prune them. Raises LimitReached."""
        if self.limits is not None and self.named(name) is None:
            self.check_limit()
        facts = {"id": new_id("set"), "tenant_id": self.tenant_id, "name": name, "objects": objects}
        ids = [each["id"] for each in objects]
        self.session.execute(_TAKE, {"tenant": self.tenant_id, "name": name, "ids": ids})
        statement = insert(AppliedSet).values(facts)
        again = {"objects": statement.excluded.objects, "updated_at": func.now()}
        query = statement.on_conflict_do_update(constraint="applied_sets_name", set_=again).returning(AppliedSet)
        return self.session.scalars(query, execution_options={"populate_existing": True}).one()
