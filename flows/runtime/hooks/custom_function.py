"""`custom_function`: a function registered by a package in the entry-point group `headrace.hooks`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from headrace.flows.runtime.hooks.base import HookContext, HookError, HookMeans
from headrace.ir.hooks import CustomFunctionHook

GROUP = "headrace.hooks"


def installed() -> dict[str, EntryPoint]:
    """The entry points of the functions installed in this environment, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def run_custom_function(hook: CustomFunctionHook, context: HookContext, means: HookMeans) -> str:
    """A HookRunner. The remark is the function's return value if it is text. A function that exceeds its timeout has
    failed but cannot be stopped: it continues in the background until the run's process ends."""
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
