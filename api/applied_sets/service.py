"""Operations on applied sets: read and replace."""

from __future__ import annotations

from headrace.api.applied_sets.schemas import AppliedSetItem, PutAppliedSet
from headrace.api.context import RequestContext


def read_set(context: RequestContext, name: str) -> AppliedSetItem:
    """The set; empty when it was never written."""
    with context.reading() as catalog:
        found = catalog.applied_sets.named(name)
        if found is None:
            return AppliedSetItem(name=name, objects=[], updated_at=None)
        return AppliedSetItem.model_validate(found)


def put_set(context: RequestContext, name: str, body: PutAppliedSet) -> AppliedSetItem:
    """Replaces the objects of the set."""
    with context.catalog() as catalog:
        objects = [each.model_dump() for each in body.objects]
        stored = AppliedSetItem.model_validate(catalog.applied_sets.put(name, objects))
        catalog.audit.append("put_applied_set", "applied_set", name, name, after={"objects": len(objects)})
        return stored
