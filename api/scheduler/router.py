"""`/scheduler-status`."""

from __future__ import annotations

from headrace.api.context import Context
from headrace.api.pagination import Paged
from headrace.api.requests.auth import READ, allow, guarded_router
from headrace.api.scheduler import service
from headrace.api.scheduler.schemas import SchedulerStatus

router = guarded_router("scheduler")


@router.get("/scheduler-status", openapi_extra=allow(*READ))
def get_scheduler_status(context: Context, page: Paged) -> SchedulerStatus:
    """The scheduled pipelines: their last run, their lag, and their next five fires."""
    return service.scheduler_status(context, page)
