"""`refresh`: refreshes a materialized view."""

from __future__ import annotations

from headrace.flows.runtime.hooks.base import HookContext, HookMeans
from headrace.ir.hooks import RefreshHook


def run_refresh(hook: RefreshHook, context: HookContext, means: HookMeans) -> str:
    """A HookRunner that refreshes the view."""
    view = hook.view if "." in hook.view else f"public.{hook.view}"
    how = means.database.refresh(view, means.tables, concurrently=hook.concurrently, timeout_s=hook.timeout_seconds)
    return f"refreshed {view}, {how}"
