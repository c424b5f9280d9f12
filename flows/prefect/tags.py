"""Tags of a flow run, which people add too."""

from __future__ import annotations

from contextlib import suppress

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun


async def set_tags(client: PrefectClient, flow_run: FlowRun, wanted: dict[str, bool]) -> None:
    """Adds or removes tags, and notes it in `flow_run`. Others that the run was given meanwhile stay. What Prefect does
    not take is left."""
    with suppress(httpx.HTTPError):
        others = [tag for tag in (await client.read_flow_run(flow_run.id)).tags if tag not in wanted]
        tags = [*others, *(tag for tag, there in wanted.items() if there)]
        await client.update_flow_run(flow_run.id, tags=tags)
        flow_run.tags = tags
