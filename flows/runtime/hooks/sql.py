"""`sql`: runs an administrative statement, rendered from its parsed form."""

from __future__ import annotations

from headrace.flows.runtime.hooks.base import HookContext, HookError, HookMeans
from headrace.ir.hooks import SqlHook
from headrace.ir.statements import LOADED_TABLE


def run_sql(hook: SqlHook, context: HookContext, means: HookMeans) -> str:
    """A HookRunner that runs the statement on the table with the new rows."""
    statement = hook.parsed
    if means.tables is not None and (foreign := statement.tables - {LOADED_TABLE} - set(means.tables)):
        raise HookError(f"{', '.join(sorted(foreign))} is not a table of one of your schemas")
    if statement.view is not None:
        how = means.database.refresh(statement.view, means.tables, concurrently=None, timeout_s=hook.timeout_seconds)
        return f"refreshed {statement.view}, {how}"
    text = statement.render(context.loading)
    if statement.kind == "select":
        means.database.query(text, timeout_s=hook.timeout_seconds)
    else:
        means.database.maintain(text, timeout_s=hook.timeout_seconds)
    return text
