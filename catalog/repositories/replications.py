"""A tenant's replications, the tables that they copy, and their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from headrace.catalog.deployment_changes import note_change
from headrace.catalog.models import Replication, ReplicationRequest, ReplicationRun, ReplicationTable
from headrace.catalog.repositories.base import TenantRepository
from headrace.catalog.runs.records import TERMINAL
from headrace.ir.document import without_editor_keys


class ReplicationRepository(TenantRepository[Replication]):
    """Replications with their connector. Changes of what Prefect has are queued with them."""

    model = Replication
    noun = "replication"
    counted = "replications"

    def create(self, replication: Replication) -> Replication:
        """Stores a new one. Raises Conflict if its name is taken, LimitReached."""
        added = self.add(replication)
        if replication.schedule is not None:
            replication.scheduled_since = func.now()
        self._flush()
        note_change(self.session, replication.id)
        return added

    def change(self, replication: Replication, document: Mapping[str, Any], *, connector_id: str) -> bool:
        """Gives a locked one another document; returns whether it differs. Raises Conflict if its new name is taken."""
        stored = without_editor_keys(document)
        if stored == replication.document and connector_id == replication.connector_id:
            return False
        schedule = stored.get("schedule")
        if schedule != replication.schedule:
            replication.scheduled_since = func.now() if schedule is not None else None
        replication.document, replication.schedule = stored, schedule
        replication.name, replication.connector_id = stored["metadata"]["name"], connector_id
        replication.version += 1
        self.touch(replication)
        return True

    def touch(self, replication: Replication) -> None:
        """Stores a change, and queues it for Prefect."""
        replication.updated_at = func.now()
        self._flush()
        note_change(self.session, replication.id)

    def remove(self, item: Replication) -> None:
        """Deletes a replication without pipelines. Raises Conflict while it has some."""
        super().remove(item)
        note_change(self.session, item.id)

    def tables(self, replication_id: str) -> Sequence[ReplicationTable]:
        """Returns the tables that it has taken up, by name."""
        query = select(ReplicationTable).where(ReplicationTable.replication_id == replication_id)
        return self.session.scalars(query.order_by(ReplicationTable.name)).all()

    def put_table(
        self, replication_id: str, name: str, *, pipeline_id: str, columns: list[Any], names: Mapping[str, str]
    ) -> None:
        """Stores what was seen of a table that is copied."""
        values = {
            "replication_id": replication_id,
            "name": name,
            "pipeline_id": pipeline_id,
            "columns": columns,
            "names": dict(names),
            "there": True,
        }
        statement = insert(ReplicationTable).values(values)
        again = {key: statement.excluded[key] for key in ("pipeline_id", "columns", "names", "there")}
        keys = [ReplicationTable.replication_id, ReplicationTable.name]
        self.session.execute(statement.on_conflict_do_update(index_elements=keys, set_=again))

    def take_up(self, replication_id: str, names: Sequence[str]) -> None:
        """Notes tables that cannot be copied yet: they do not count as new from then on."""
        known = {"replication_id": replication_id, "columns": [], "names": {}, "there": True}
        rows = [{**known, "name": name} for name in names]
        self.session.execute(insert(ReplicationTable).on_conflict_do_nothing(), rows)

    def copies(self, pipeline_id: str) -> bool:
        """Whether the pipeline is of a table that a replication copies: one that is neither gone nor left out."""
        query = select(ReplicationTable.name).where(ReplicationTable.pipeline_id == pipeline_id, ReplicationTable.there)
        return self.session.scalar(query.limit(1)) is not None

    def missed(self, replication_id: str, names: Sequence[str]) -> None:
        """Records that tables are no longer copied, because they do not exist any more or are excluded."""
        named = ReplicationTable.replication_id == replication_id, ReplicationTable.name.in_(names)
        self.session.execute(update(ReplicationTable).where(*named).values(there=False))

    def settle(self, replication_id: str, sources: str) -> None:
        """Notes that a run has taken up the tables of these sources."""
        chosen = update(Replication).where(Replication.id == replication_id)
        self.session.execute(chosen.values(settled=sources))

    def runs(self, replication_id: str, limit: int) -> Sequence[ReplicationRun]:
        """Returns its newest runs."""
        query = select(ReplicationRun).where(ReplicationRun.replication_id == replication_id)
        newest = query.order_by(ReplicationRun.created_at.desc(), ReplicationRun.id.desc())
        return self.session.scalars(newest.limit(limit)).all()

    def run(self, replication_id: str, run_id: str) -> ReplicationRun | None:
        """Returns one of its runs; None without one of that id."""
        owned = self.owned().where(Replication.id == replication_id).with_only_columns(Replication.id)
        query = select(ReplicationRun).where(ReplicationRun.id == run_id)
        return self.session.scalar(query.where(ReplicationRun.replication_id.in_(owned)))

    def unfinished_runs(self, replication_id: str) -> list[str]:
        """Returns the ids of its runs that have not ended."""
        query = select(ReplicationRun.id).where(
            ReplicationRun.replication_id == replication_id, ReplicationRun.status.not_in(TERMINAL)
        )
        return list(self.session.scalars(query))

    def requested(self, replication_id: str, key: str) -> str | None:
        """Returns the run that the idempotency key started; None without one."""
        found = self.session.get(ReplicationRequest, (replication_id, key))
        return None if found is None else found.run_id

    def remember_request(self, replication_id: str, key: str, run_id: str) -> bool:
        """Records that the key started the run; returns whether no key was recorded before."""
        values = {"replication_id": replication_id, "idempotency_key": key, "run_id": run_id}
        statement = insert(ReplicationRequest).values(values).on_conflict_do_nothing()
        return bool(self.session.execute(statement.returning(ReplicationRequest.run_id)).all())

    def loaded_by_others(self, replication_id: str) -> dict[str, str]:
        """Returns table (`ds_orders`) → the name of a pipeline that loads it, of the pipelines of other owners."""
        rows = self.session.execute(_LOADED, {"tenant": self.tenant_id, "replication": replication_id})
        return {table.removeprefix("public."): name for table, name in rows}


_LOADED = text("""
    SELECT s.table_name, p.name FROM headrace.pipelines p JOIN headrace.schemas s ON s.id = p.schema_id
    WHERE p.tenant_id = :tenant AND p.replication_id IS DISTINCT FROM :replication
    UNION ALL
    SELECT target.value #>> '{}', p.name FROM headrace.pipelines p
    JOIN headrace.pipeline_ir_versions v ON v.pipeline_id = p.id AND v.version = p.live_version
    CROSS JOIN LATERAL jsonb_path_query(v.ir, '$.nodes[*] ? (@.kind == "target").schema') AS target(value)
    WHERE p.tenant_id = :tenant AND p.replication_id IS DISTINCT FROM :replication
""")
