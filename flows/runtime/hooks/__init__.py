"""Hooks around a load: one module per type, one line in `RUNNERS` (run.py). Their models are in `ir.hooks`."""

from flows.runtime.hooks.base import HookContext, HookError, LoadedRows

__all__ = ["HookContext", "HookError", "LoadedRows"]
