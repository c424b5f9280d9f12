"""`prefect server`, with a garbage collection that leaves alone what was imported.

    python -P -m deployments.stack.prefect_server start [options of `prefect server start`]

Half a million objects stay for as long as the server runs. A collection that looks through them stops every request for
0.1 s or more, and the thousands of objects that a request makes bring it about again and again.
"""

from __future__ import annotations

import gc
import sys

_YOUNG = 10_000
"""So many new objects, and the youngest are collected; Python's 700 are made by a single query."""


def main() -> None:
    """Runs `prefect server` with this process's arguments; returns when the server has stopped."""
    gc.disable()
    import prefect.cli.server
    import prefect.server.api.server  # noqa: F401
    from prefect.cli import app

    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
    gc.enable()
    sys.argv.insert(1, "server")
    app()


if __name__ == "__main__":
    main()
