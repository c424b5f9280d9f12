"""Names of replication slots, which say whose they are. The command line, too, reads them, without the engine."""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "headrace_"

_ROOM = 28


def base_name(pipeline: str, node: str) -> str:
    """The common part of the names of a source node's slots, which says whose they are: `headrace_pipe_1_0a1b2c3d_`."""
    return f"{pipeline_part(pipeline)}{hashlib.sha256(f'{pipeline}/{node}'.encode()).hexdigest()[:8]}_"


def pipeline_part(pipeline: str) -> str:
    """What the names of all slots of a pipeline begin with."""
    return f"{PREFIX}{re.sub(r'[^a-z0-9]+', '_', pipeline.lower())[:_ROOM]}_"


def new_name(base: str) -> str:
    """A name that no slot had before: a slot that is made again has other changes."""
    return f"{base}{secrets.token_hex(4)}"
