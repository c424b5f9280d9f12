"""All routes of the console: one module per page, each with a `router`."""

from __future__ import annotations

from fastapi import APIRouter

from headrace.api.console import (
    api_docs,
    assets,
    audit,
    calendar,
    connectors,
    edit,
    home,
    keys,
    login,
    new_pipeline,
    pipeline,
    pipeline_document,
    pipeline_plan,
    pipeline_settings,
    quarantine,
    replication_edit,
    replications,
    run,
    run_errors,
    schemas,
)

PUBLIC = (assets.router, login.router, login.links, api_docs.router)
"""Routes that need no session."""

GUARDED = (
    home.router,
    run.router,
    run_errors.router,
    quarantine.router,
    new_pipeline.router,
    pipeline.router,
    edit.router,
    pipeline_document.router,
    pipeline_plan.router,
    pipeline_settings.router,
    replications.router,
    replication_edit.router,
    connectors.router,
    schemas.router,
    calendar.router,
    audit.router,
    keys.router,
)
"""Routes for callers with a session and one of the roles that they name."""

router = APIRouter(include_in_schema=False)
for each in (*PUBLIC, *GUARDED):
    router.include_router(each)
