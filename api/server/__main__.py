"""`python -m headrace.api.server --host … --port …`: what `headrace serve` and `headrace up` start."""

from __future__ import annotations

import argparse

from headrace.api.app import create_app
from headrace.api.server.run import FacadeServer
from headrace.catalog.settings import settings


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    options = argparse.ArgumentParser(prog="python -m headrace.api.server")
    options.add_argument("--host", default=settings().host)
    options.add_argument("--port", type=int, default=settings().port)
    chosen = options.parse_args()
    FacadeServer(create_app(), chosen.host, chosen.port).run()


if __name__ == "__main__":
    main()
