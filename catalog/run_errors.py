"""The first rejected cells of a run, for whoever shows them on one page."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from catalog.models import PipelineRun
from catalog.repositories.runs import RunRepository


@dataclass(frozen=True, slots=True)
class FirstError:
    """One cell as it is stored; `column` is None when the whole row is at fault."""

    row: int
    column: str | None
    value: str | None
    error: str
    node: str


def first_errors(engine: Engine, run_id: str, limit: int) -> list[FirstError]:
    """Rejected cells of the run and the runs it continues, by row; none for a run that is not known."""
    with Session(engine) as session:
        run = session.get(PipelineRun, run_id)
        if run is None:
            return []
        found = RunRepository(session, run.tenant_id).errors(run, limit=limit)
        return [FirstError(each.row, each.column or None, each.value, each.error, each.node_id) for each in found]
