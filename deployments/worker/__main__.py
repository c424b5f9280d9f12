"""`python -m deployments.worker`: one worker of type `headrace`, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from deployments.worker.certificates import few_certificates
from deployments.worker.nursery import Nursery


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves a work pool until SIGINT or SIGTERM, then stops its runs. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="headrace worker")
    parser.add_argument("--pool", required=True)
    parser.add_argument("--name")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--ready-fd", type=int)
    given = parser.parse_args(arguments)
    asyncio.run(serve(given.pool, name=given.name, limit=given.limit, ready_fd=given.ready_fd))
    return 0


async def serve(pool: str, *, name: str | None = None, limit: int | None = None, ready_fd: int | None = None) -> None:
    """Runs a worker on `pool` (made when missing). Writes one byte to `ready_fd` and closes it when runs can start."""
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "1")
    os.environ |= few_certificates(os.environ)
    nursery = Nursery()
    nursery.spawn()  # it imports what this process imports next, and more, at the same time
    from deployments.worker.type import HeadraceWorker

    name = name or f"headrace-{os.uname().nodename}-{os.getpid()}"
    worker = HeadraceWorker(pool, name=name, limit=limit, nursery=nursery)

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
        pass  # told to stop
    finally:
        announcing.cancel()
        serving.cancel()
        await asyncio.wait({serving, announcing})


if __name__ == "__main__":
    sys.exit(main())
