"""Types for `custom_function` hooks, which run before or after a load.

    from headrace.hooks import HookContext

    def check_orders(context: HookContext) -> str:
        if context.rows is not None and context.rows.failed > 100:
            raise ValueError(f"{context.rows.failed} orders failed")  # fails the run with this text
        return "fine"  # a line of the run's log

Register the function in its package under the name that documents use. Install the package where the workers run, and
where the API runs, which checks the names:

    [project.entry-points."headrace.hooks"]
    check_orders = "shop.hooks:check_orders"

A function may be called twice with the same `context.idempotency_key`. Needs the extra 'engine'.
"""

from __future__ import annotations

from headrace.deployments.extras import require

require("engine", "headrace.hooks")

from headrace.flows.runtime.hooks import HookContext, HookError, LoadedRows  # noqa: E402

__all__ = ["HookContext", "HookError", "LoadedRows"]
