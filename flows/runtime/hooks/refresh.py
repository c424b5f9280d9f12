"""`refresh`: a materialized view."""

from __future__ import annotations

from flows.runtime.hooks.base import HookContext, HookMeans
from ir.hooks import RefreshHook


def run_refresh(hook: RefreshHook, context: HookContext, means: HookMeans) -> str:
    """See HookRunner."""
    view = hook.view if "." in hook.view else f"public.{hook.view}"
    how = means.database.refresh(view, means.tables, concurrently=hook.concurrently, timeout_s=hook.timeout_seconds)
    return f"refreshed {view}, {how}"
