"""Prefect artifacts of a run: report, table of first errors, progress, page of a stream. Each pipeline has one key per
kind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.artifacts import Artifact, MarkdownArtifact, ProgressArtifact, TableArtifact, aupdate_progress_artifact
from prefect.client.schemas.actions import ArtifactUpdate

from headrace.catalog.runs.records import RunPipeline, RunSnapshot
from headrace.catalog.runs.snapshot import FirstError
from headrace.flows.prefect.report import console_url, outcome, run_report

MAX_ERRORS = 100
_MAX_NAME_CHARS = 60


def artifact_key(kind: str, pipeline_id: str, name: str) -> str:
    """For example `daily-orders-1c79ee-report`. Prefect only accepts lower-case letters, digits and dashes."""
    readable = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:_MAX_NAME_CHARS].strip("-")
    suffix = re.sub("[^a-z0-9]", "", pipeline_id.lower())[-6:]
    return "-".join(part for part in (readable, suffix, kind) if part)


def errors_table(errors: Sequence[FirstError]) -> list[dict[str, Any]]:
    """One row for each rejected cell, with values as stored in the catalog."""
    return [
        {"row": each.row, "column": each.column, "value": each.value, "error": each.error, "node": each.node}
        for each in errors
    ]


class RunArtifacts:
    """The artifacts of the current flow run. Methods raise the errors of Prefect's client."""

    def __init__(self, pipeline: RunPipeline, api_url: str) -> None:
        self._pipeline, self._api_url = pipeline, api_url
        self._progress: UUID | None = None
        self._stream: UUID | None = None

    async def progress(self, percent: float, description: str) -> None:
        """Sets the run's progress in percent, 0 to 100."""
        if self._progress is None:
            made = await ProgressArtifact(
                key=self._key("progress"), description=description, progress=percent
            ).acreate()
            self._progress = made.id
        else:
            await aupdate_progress_artifact(self._progress, percent, description)

    async def stream(self, markdown: str, description: str) -> None:
        """Sets the page of a streaming run."""
        if self._stream is None:
            page = MarkdownArtifact(key=self._key("stream"), markdown=markdown, description=description)
            self._stream = (await page.acreate()).id
        else:
            async with get_client() as client:
                await client.update_artifact(self._stream, ArtifactUpdate(data=markdown, description=description))

    async def end(self, run: RunSnapshot, errors: Sequence[FirstError], percent: float, note: str = "") -> None:
        """Stores the report, the first errors if there are any, and the final progress in percent."""
        name = self._pipeline.name
        status = outcome(run)
        report = run_report(name, run, note, api_url=self._api_url)
        made: list[Artifact] = [
            MarkdownArtifact(key=self._key("report"), markdown=report, description=f"{name}: {status}")
        ]
        if errors:
            link = f"{console_url(self._api_url)}/runs/{run.id}/errors"
            description = f"The first {len(errors)} rejected cells; [all of them]({link})"
            made.append(TableArtifact(key=self._key("errors"), table=errors_table(errors), description=description))
        async with get_client() as client:
            await asyncio.gather(
                *(artifact.acreate(client) for artifact in made),
                self.progress(percent, f"{name}: {status}, {run.rows_in:,} of {run.total_rows:,} rows"),
            )

    def _key(self, kind: str) -> str:
        return artifact_key(kind, self._pipeline.id, self._pipeline.name)
