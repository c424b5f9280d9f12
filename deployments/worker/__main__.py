"""`python -m headrace.deployments.worker`: one worker of type `headrace`, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.deployments.prefect.api import NotAuthorized
from headrace.deployments.worker.certificates import minimal_ca_bundle
from headrace.deployments.worker.fork_client import ForkClient

if TYPE_CHECKING:
    from headrace.deployments.worker.type import HeadraceWorker


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves a work pool until SIGINT or SIGTERM, then stops the runs. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="headrace worker")
    parser.add_argument("--pool", required=True)
    parser.add_argument("--name")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--ready-fd", type=int)
    given = parser.parse_args(arguments)
    try:
        asyncio.run(serve(given.pool, name=given.name, limit=given.limit, ready_fd=given.ready_fd))
    except NotAuthorized as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


async def serve(
    pool: str,
    *,
    name: str | None = None,
    limit: int | None = None,
    ready_fd: int | None = None,
    kind: type[HeadraceWorker] | None = None,
) -> None:
    """Runs a worker on `pool` (created when missing). Writes one byte to `ready_fd` and closes it when runs can start.

    `kind` replaces HeadraceWorker. Raises NotLetIn.
    """
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "1")
    os.environ |= minimal_ca_bundle(os.environ)
    if limit is not None:
        os.environ.setdefault("HEADRACE_RUNS_AT_ONCE", str(limit))  # a run's share of the memory
    fork_client = ForkClient()
    fork_client.spawn()  # imports in parallel with this process
    from headrace.deployments.worker.type import HeadraceWorker

    name = name or f"headrace-{os.uname().nodename}-{os.getpid()}"
    worker = (kind or HeadraceWorker)(pool, name=name, limit=limit, fork_client=fork_client)

    async def announce() -> None:
        await worker.ready()
        if ready_fd is not None:
            os.write(ready_fd, b"1")
            os.close(ready_fd)

    serving = asyncio.create_task(worker.start())
    announcing = asyncio.create_task(announce())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    done, _ = await asyncio.wait({serving, announcing}, return_when=asyncio.FIRST_COMPLETED)
    try:
        for task in done:
            task.result()
        await serving
    except asyncio.CancelledError:
        pass  # stop requested
    finally:
        announcing.cancel()
        serving.cancel()
        await asyncio.wait({serving, announcing})


if __name__ == "__main__":
    sys.exit(main())
