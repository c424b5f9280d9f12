"""Runs the hooks of a run: in which phase, each once, and with which effect of a failure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import key_of
from headrace.connectors.postgresql.hooks import HookDatabase, HookKey
from headrace.connectors.postgresql.load.spec import RetryPolicy
from headrace.connectors.postgresql.modes.base import LoadsIntoShadow
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.hooks.base import Event, HookContext, HookError, HookMeans, HookRunner, LoadedRows
from headrace.flows.runtime.hooks.custom_function import run_custom_function
from headrace.flows.runtime.hooks.refresh import run_refresh
from headrace.flows.runtime.hooks.sql import run_sql
from headrace.flows.runtime.hooks.webhook import run_webhook
from headrace.flows.runtime.job import Prepared
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.ir.hooks import AnyHook, SqlHook
from headrace.ir.nodes import TargetNode
from headrace.ir.secrets import credentials_of_purpose

RUNNERS: Mapping[str, HookRunner] = {
    "sql": run_sql,
    "refresh": run_refresh,
    "webhook": run_webhook,
    "custom_function": run_custom_function,
}
"""By the hook's type."""


class HookFailed(RunFailed):
    """A hook failed. The text says what happened to the rows."""


class Hooks:
    """The hooks of one run. A hook that is recorded as done in `_headrace.hooks` is not run again by a later attempt of
    the same chain of retries."""

    def __init__(self, prepared: Prepared, recorder: RunRecorder) -> None:
        self._prepared, self._recorder = prepared, recorder
        self._means: dict[str, HookMeans] = {}

    def before(self) -> None:
        """Runs the preHooks, after the run has locked its tables and before it changes them."""
        for target in self._targets:
            kept = f"Nothing was loaded into {target.table}."
            for position, hook in enumerate(target.pre_hook):
                self._once(target, "pre_load", position, hook, kept)

    def staged(self) -> None:
        """Runs the postHooks that can check rows before they are swapped in, when the load mode keeps them in a
        separate table: sql and custom_function."""
        for target in self._targets:
            if (apart := self._apart(target)) is not None:
                kept = f"{target.table} is as it was."
                for position, hook in enumerate(target.post_hook):
                    if _evaluates(hook):
                        self._once(target, "post_load", position, hook, kept, loading=apart)

    def after(self, rows: Mapping[str, LoadedRows]) -> None:
        """Runs the other postHooks, after the rows are visible. `rows` by target node."""
        for target in self._targets:
            loaded = rows.get(target.id)
            count = f"{loaded.loaded:,} rows" if loaded is not None else "The rows"
            kept = f"{count} are loaded into {target.table} and stay there; a retry runs the hook again."
            for position, hook in enumerate(target.post_hook):
                if self._apart(target) is None or not _evaluates(hook):
                    self._once(target, "post_load", position, hook, kept, rows=loaded)

    @property
    def _targets(self) -> list[TargetNode]:
        return [
            node for node in self._prepared.ir.nodes if isinstance(node, TargetNode) and node.id in self._prepared.modes
        ]

    def _means_for(self, target: TargetNode) -> HookMeans:
        """Those of the target's database, with the table of finished hooks in it."""
        job = self._prepared.job
        database = job.database_of(target.id)
        if (found := self._means.get(key_of(database))) is None:
            retry = RetryPolicy(attempts=self._prepared.ir.error_handling.retry.max_attempts)
            signing = credentials_of_purpose("webhook", job.pipeline.connector.credentials)
            tables = job.pipeline.tables if target.connection is None else None
            found = HookMeans(HookDatabase(database, retry), tables, signing, job.networks)
            found.database.prepare()
            self._means[key_of(database)] = found
        return found

    def _apart(self, target: TargetNode) -> str | None:
        mode = self._prepared.modes[target.id]
        return mode.shadow_table_name if isinstance(mode, LoadsIntoShadow) else None

    def _once(
        self,
        target: TargetNode,
        event: Event,
        position: int,
        hook: AnyHook,
        kept: str,
        *,
        loading: str | None = None,
        rows: LoadedRows | None = None,
    ) -> None:
        job = self._prepared.job
        said = hook.model_dump(mode="json", exclude={"timeout_seconds"})
        fingerprint = hashlib.sha256(json.dumps([target.table, said], sort_keys=True).encode()).hexdigest()[:16]
        key = HookKey(job.load_key, target.id, event, position, fingerprint)
        name = f"{'preHook' if event == 'pre_load' else 'postHook'} {position + 1} of {target.id} ({hook.type})"
        try:
            means, database = self._means_for(target), job.database_of(target.id)
            if means.database.done(key):
                self._recorder.log("load", f"{name}: done by an earlier attempt")
                return
            context = HookContext(
                event=event,
                run_id=job.run_id,
                root_run_id=job.root_run_id,
                pipeline_id=job.pipeline.id,
                tenant_id=job.pipeline.tenant_id,
                ir_version=job.pipeline.ir_version,
                target_node=target.id,
                table=target.table,
                loading=loading or target.table,
                load_mode=target.load_mode,
                database_url=database if isinstance(database, str) else "",
                database=database,
                idempotency_key=f"{job.load_key}:{target.id}:{event}:{position}:{fingerprint}",
                timeout_s=hook.timeout_seconds,
                rows=rows,
            )
            remark = RUNNERS[hook.type](hook, context, means)
            means.database.mark(key, job.run_id)
        except (HookError, TargetError) as error:
            raise HookFailed(f"The {name} failed: {str(error).removesuffix('.')}. {kept}") from error
        self._recorder.log("load", f"{name}: {remark}")


def _evaluates(hook: AnyHook) -> bool:
    """Whether the hook runs before a swap. Webhooks and refreshes run after it: they notify others or read the live
    table."""
    if isinstance(hook, SqlHook):
        return hook.parsed.view is None
    return hook.type == "custom_function"
