"""`prefect server`, that does again and again only what has to be.

    python -P -m deployments.stack.prefect_server start [options of `prefect server start`]

Half a million imported objects stay for as long as the server runs. A garbage collection that looks through them stops
every request for 0.1 s or more, and the thousands of objects that a request makes bring it about again and again.
"""

from __future__ import annotations

import functools
import gc
import sys
import zoneinfo

_YOUNG = 10_000
"""So many new objects, and the youngest are collected; Python's 700 are made by a single query."""


def main() -> None:
    """Runs `prefect server` with this process's arguments; returns when the server has stopped."""
    # Prefect lists all time zones whenever it looks at a cron schedule, several times in each registration.
    zoneinfo.available_timezones = functools.cache(zoneinfo.available_timezones)
    gc.disable()
    import prefect.cli.server
    import prefect.server.api.server  # noqa: F401
    from prefect.cli import app

    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
    gc.enable()
    sys.argv.insert(1, "server")
    app()


if __name__ == "__main__":
    main()
