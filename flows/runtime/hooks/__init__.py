"""Hooks before and after a load: one module per type, registered in `RUNNERS` (run.py). Their models are in
`ir.hooks`."""

from headrace.flows.runtime.hooks.base import HookContext, HookError, LoadedRows

__all__ = ["HookContext", "HookError", "LoadedRows"]
