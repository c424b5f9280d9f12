"""`custom_function`: a function that a package registered in the entry-point group `headrace.hooks`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from flows.runtime.hooks.base import HookContext, HookError, HookMeans
from ir.hooks import CustomFunctionHook

GROUP = "headrace.hooks"


def installed() -> dict[str, EntryPoint]:
    """The functions by name, as far as this environment has them."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def run_custom_function(hook: CustomFunctionHook, context: HookContext, means: HookMeans) -> str:
    """See HookRunner. What the function returns, if it is text, is the remark. One that overruns its time cannot be
    stopped: it has failed, and goes on in the background until the run's process ends."""
    function = _loaded(hook.name)
    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.append(function(context))
        except BaseException as error:  # noqa: BLE001 (whatever it was, it is the hook's failure)
            outcome.append(error)

    thread = threading.Thread(target=call, name=f"hook {hook.name}", daemon=True)
    thread.start()
    thread.join(hook.timeout_seconds)
    if not outcome:
        raise HookError(f"it did not end within {hook.timeout_seconds} s")
    if isinstance(outcome[0], BaseException):
        raise HookError(f"{type(outcome[0]).__name__}: {outcome[0]}") from outcome[0]
    return outcome[0] if isinstance(outcome[0], str) else "done"


def _loaded(name: str) -> Callable[[HookContext], Any]:
    entry = installed().get(name)
    if entry is None:
        raise HookError(f"no function '{name}' is installed where this run runs")
    try:
        function = entry.load()
    except Exception as error:
        raise HookError(f"'{name}' cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise HookError(f"'{name}' is not a function")
    return function  # type: ignore[no-any-return]
