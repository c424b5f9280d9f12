"""Servers that fixtures of several modules share. A fixture that is imported into several modules is made for each of
them, even with the scope `session`: what it starts is kept here instead."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeVar

import pytest

Made = TypeVar("Made")

_OPENED = pytest.StashKey[tuple[ExitStack, dict[Callable[..., Any], tuple[ExitStack, Any]]]]()


def once(config: pytest.Config, start: Callable[..., AbstractContextManager[Made]], *arguments: Any) -> Made:
    """Enters `start(*arguments)` at the first call in this process, and leaves it when the tests have ended. Further
    calls give the same; their arguments are not looked at."""
    if _OPENED not in config.stash:
        stack = ExitStack()
        config.stash[_OPENED] = (stack, {})
        config.add_cleanup(stack.close)
    stack, opened = config.stash[_OPENED]
    if start not in opened:
        own = stack.enter_context(ExitStack())
        opened[start] = own, own.enter_context(start(*arguments))
    made: Made = opened[start][1]
    return made


def leave(config: pytest.Config, start: Callable[..., AbstractContextManager[Any]]) -> None:
    """Leaves what `once` entered, if it did, before the tests have ended: nobody uses it any more."""
    if _OPENED in config.stash and start in (opened := config.stash[_OPENED][1]):
        opened.pop(start)[0].close()
