"""Checks of hooks before they run: tables that are not the tenant's, functions that are not installed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from headrace.flows.runtime.hooks.custom_function import installed
from headrace.ir import PipelineIR, Problem
from headrace.ir.hooks import AnyHook, CustomFunctionHook, SqlHook, WebhookHook
from headrace.ir.nodes import TargetNode
from headrace.ir.problems import nearest
from headrace.ir.statements import LOADED_TABLE


def hook_problems(
    ir: PipelineIR, tables: Collection[str] | None = None, secrets: Collection[str] | None = None
) -> list[Problem]:
    """Every problem of the document's hooks. `tables` are the tables of the tenant's schemas, `secrets` the names in
    the authConfig of the pipeline's connector; None when unknown."""
    return [
        problem
        for index, node in enumerate(ir.nodes)
        if isinstance(node, TargetNode)
        for event, hooks in (("preHook", node.pre_hook), ("postHook", node.post_hook))
        for position, hook in enumerate(hooks)
        for problem in _problems(
            hook,
            f"nodes[{index}].{event}" + f"[{position}]" * (len(hooks) > 1),
            tables if node.connection is None else None,
            secrets,
        )
    ]


def _problems(
    hook: AnyHook, path: str, tables: Collection[str] | None, secrets: Collection[str] | None
) -> Iterator[Problem]:
    if isinstance(hook, SqlHook) and tables is not None:
        for table in sorted(hook.parsed.tables - {LOADED_TABLE} - set(tables)):
            message = f"'{table}' is not a table of one of your schemas"
            yield Problem(f"{path}.statement", "foreign_table", message, nearest(table, tables))
    if isinstance(hook, CustomFunctionHook) and hook.name not in (names := installed()):
        message = f"No function '{hook.name}' is installed"
        hint = nearest(hook.name, names) or "a package registers it in the entry-point group headrace.hooks"
        yield Problem(f"{path}.name", "unknown_function", message, hint)
    if isinstance(hook, WebhookHook) and hook.secret_ref and secrets is not None and hook.secret_ref not in secrets:
        message = f"The pipeline's connector has no '{hook.secret_ref}' in its authConfig"
        yield Problem(f"{path}.secretRef", "unknown_secret", message, "add it to the connector")
