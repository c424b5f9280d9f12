"""`/scheduler-status`."""

from __future__ import annotations

from api.auth import READ, allow, guarded_router
from api.context import Context
from api.pagination import Paged
from api.scheduler import service
from api.scheduler.schemas import SchedulerStatus

router = guarded_router("scheduler")


@router.get("/scheduler-status", openapi_extra=allow(*READ))
def get_scheduler_status(context: Context, page: Paged) -> SchedulerStatus:
    """The scheduled pipelines: their last run, how late they are, and their next five fires."""
    return service.scheduler_status(context, page)
