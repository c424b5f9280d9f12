"""`/applied-sets`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from headrace.api.applied_sets import rehearsal, service
from headrace.api.applied_sets.schemas import AppliedSetItem, PutAppliedSet, Rehearsal, Rehearse, SetName
from headrace.api.context import Context
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router

router = guarded_router("applied sets")

Named = Annotated[
    SetName, Query(description="The set's name; by default, `headrace apply` derives it from the files' folder")
]


@router.get("/applied-sets", openapi_extra=allow(*READ))
def read_applied_set(context: Context, name: Named) -> AppliedSetItem:
    """The objects that a set of files owns (`headrace apply`); none for an unused name."""
    return service.read_set(context, name)


@router.post("/applied-sets/rehearsal", openapi_extra=allow(*WRITE, recorded=False))
def rehearse_requests(context: Context, body: Rehearse) -> Rehearsal:
    """Which of the requests, executed in order, would be refused. They create and change connectors, schemas and
    pipelines; pipelines are also checked against their tables. Nothing is changed."""
    return rehearsal.rehearse(context, body.requests)


@router.put("/applied-sets", openapi_extra=allow(*WRITE))
def put_applied_set(context: Context, name: Named, body: PutAppliedSet) -> AppliedSetItem:
    """Replaces the objects of a set and removes them from other sets. The objects themselves are unchanged."""
    return service.put_set(context, name, body)
