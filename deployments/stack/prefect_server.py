"""`prefect server`, that does again and again only what has to be.

    python -P -m deployments.stack.prefect_server start [options of `prefect server start`]

Prefect's server is one process on one core, so its CPU bounds how fast pipelines are registered and runs begin. Half of
what a registration took went into things that come out the same each time, and statements that ask for what is known.
"""

from __future__ import annotations

import functools
import gc
import json
import re
import sys
import zoneinfo
from typing import Any

_YOUNG = 10_000
"""So many new objects, and the youngest are collected; Python's 700 are made by a single query."""
_SHAPES = 1_000
_ONLY_ONE = re.compile(r'"enum": \["(?:[^"\\]|\\.)*"\]')
"""In a schema's JSON: the pipeline's or tenant's own id, which is another in each, and a good schema whatever it is."""


def main() -> None:
    """Runs `prefect server` with this process's arguments; returns when the server has stopped."""
    # Prefect lists all time zones whenever it looks at a cron schedule, several times in each registration.
    zoneinfo.available_timezones = functools.cache(zoneinfo.available_timezones)
    gc.disable()
    import prefect.cli.server
    import prefect.server.api.server  # noqa: F401
    from prefect.cli import app

    from deployments.stack.prefect_statements import spare_statements

    remember_schemas()
    spare_statements()
    # Half a million imported objects stay for as long as the server runs. A garbage collection that looks through them
    # stops every request for 0.1 s or more, and the objects that requests make bring it about again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
    gc.enable()
    sys.argv.insert(1, "server")
    app()


def remember_schemas() -> None:
    """Lets jsonschema judge a schema once. Prefect asks whether the schema of a deployment's parameters is one twice in
    each registration, and once for each run that is asked for: 7 ms each time."""
    from jsonschema import Draft202012Validator

    judge, good = Draft202012Validator.check_schema, set[str]()

    def check_schema(schema: Any, *given: Any, **named: Any) -> None:
        shape = _ONLY_ONE.sub('"enum": [""]', json.dumps(schema, default=repr))
        if shape in good:
            return
        judge(schema, *given, **named)
        if len(good) < _SHAPES:
            good.add(shape)

    Draft202012Validator.check_schema = check_schema


if __name__ == "__main__":
    main()
