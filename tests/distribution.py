"""Which of several processes (`pytest -n`) has which tests.

One has all modules that need the session's stack, and begins with them, since they mostly wait. The others take what is
left by modules, so that no module's fixtures are made twice: those with stacks of their own first, then large ones.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

STACK = "stack"


@cache
def group_of(path: str) -> str:
    """The group of a test module, by its path from the checkout's root: what the process that hands out tests, which
    imports none, can determine."""
    text = (Path(__file__).parents[1] / path).read_text()
    return STACK if "pytest.mark.stack" in text and "pytest.mark.own_stack" not in text else path


def arrange(items: list[pytest.Item]) -> None:
    """Puts tests in the order in which they are handed out. Raises UsageError where one would start a second stack, and
    where two have one name: of those, one would be run."""
    twice = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if twice:
        raise pytest.UsageError(f"several tests have one name: {twice[:5]}")
    paths = {item: item.nodeid.partition("::")[0] for item in items}
    for item, path in paths.items():
        if STACK in getattr(item, "fixturenames", ()) and group_of(path) != STACK:
            raise pytest.UsageError(f"{path} uses the session's stack: mark what does with pytest.mark.stack")
    sizes = Counter(group_of(path) for path in paths.values())
    waiting = {paths[item] for item in items if item.get_closest_marker("stack")}

    def place(item: pytest.Item) -> tuple[bool, bool, int, str]:
        group = group_of(paths[item])
        return group != STACK, paths[item] not in waiting, -sizes[group], group

    items.sort(key=place)


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands out groups as a whole. (pytest-xdist's own `loadgroup` finds no groups with pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    return ByGroup(config, log)
