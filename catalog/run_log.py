"""Text of runs that is stored: what fits, and the lines of their logs."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import Insert, insert

from catalog.models import PipelineRun, RunLog

LogStage = Literal["extract", "transform", "validate", "load", "retry", "run"]

MAX_MESSAGE_CHARS = 4000


def log_line(run_id: str, stage: LogStage, message: str) -> Insert:
    """The statement that adds a line to a run's log, if the run is known; for whoever has a transaction already."""
    line = select(PipelineRun.id, literal(stage), literal(storable(message, MAX_MESSAGE_CHARS)))
    return insert(RunLog).from_select(["run_id", "stage", "message"], line.where(PipelineRun.id == run_id))


def storable(value: str, limit: int) -> str:
    """So much of a text as is kept, without what PostgreSQL's text cannot hold: NUL and lone surrogates."""
    return value[:limit].replace("\x00", "").encode("utf-8", "replace").decode()
