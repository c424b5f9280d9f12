"""DEVELOPING.md names files that are there."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "DEVELOPING.md").read_text()


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"`((?:ir|connectors|catalog|flows|deployments|api|headrace|tests)/[\w/.]*)", PAGE)
    assert len(named) > 20
    assert not [name for name in named if not (REPOSITORY / name).exists()]
    linked = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert not [name for name in linked if not (REPOSITORY / name).exists()]
