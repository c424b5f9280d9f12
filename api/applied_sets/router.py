"""`/applied-sets`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.applied_sets import service
from api.applied_sets.schemas import AppliedSetItem, PutAppliedSet, SetName
from api.auth import READ, WRITE, allow, guarded_router
from api.context import Context

router = guarded_router("applied sets")

Named = Annotated[SetName, Query(description="The set's name; `default` unless the files say otherwise")]


@router.get("/applied-sets", openapi_extra=allow(*READ))
def read_applied_set(context: Context, name: Named) -> AppliedSetItem:
    """Which objects a set of files owns (`headrace apply`); none for a name that nobody has used."""
    return service.read_set(context, name)


@router.put("/applied-sets", openapi_extra=allow(*WRITE))
def put_applied_set(context: Context, name: Named, body: PutAppliedSet) -> AppliedSetItem:
    """Replaces what a set owns. The objects themselves are not touched."""
    return service.put_set(context, name, body)
