"""A tenant's connectors as documents, their versions, and who uses them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, or_, select, text, tuple_, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from headrace.catalog.errors import Conflict, LimitReached, StaleVersion
from headrace.catalog.models import Connector, FoundColumns, YamlConnector, YamlConnectorVersion, new_id
from headrace.catalog.repositories.base import TenantRepository
from headrace.catalog.repositories.connectors import ConnectorRepository
from headrace.catalog.yaml_documents import TYPE, load_documents

_NAMED = 3


@dataclass(frozen=True, slots=True)
class ReadingNode:
    """A source node of a live IR that may read with a document."""

    pipeline_id: str
    pipeline: str
    pipeline_connector: str
    node: dict[str, Any]


class YamlConnectorRepository(TenantRepository[YamlConnector]):
    """Documents by their `id`, which is their name in the catalog."""

    model = YamlConnector
    noun = "connector document"
    counted = "yaml_connectors"

    def named(self, name: str, *, lock: bool = False) -> YamlConnector | None:
        """Returns the document of that id; None if the tenant has none. `lock` keeps others from changing it."""
        query = self.owned().where(YamlConnector.name == name)
        if lock:
            query = query.with_for_update()
        found: YamlConnector | None = self.session.scalar(query, execution_options={"populate_existing": lock})
        return found

    def documents(self, references: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Returns reference (`github`, `github@3`) → document; what the tenant does not have is left out."""
        return load_documents(self.session, self.tenant_id, references)

    def names(self) -> Sequence[str]:
        """Returns the ids of all documents."""
        return self.session.scalars(self.owned().with_only_columns(YamlConnector.name)).all()

    def hold(self, name: str) -> None:
        """Keeps a document from being deleted until the transaction ends."""
        self.session.execute(self.owned().where(YamlConnector.name == name).with_for_update(read=True))

    def create(self, document: dict[str, Any], *, authored_by: str, comment: str | None) -> YamlConnectorVersion:
        """Stores a new document as version 1, which is live. Raises Conflict if its id is taken, LimitReached."""
        made = self.add(
            YamlConnector(id=new_id("yaml"), name=document["id"], display_name=document["displayName"], live_version=1)
        )
        return self._store(made, 1, document, authored_by, comment)

    def save_version(
        self,
        item: YamlConnector,
        document: dict[str, Any],
        *,
        authored_by: str,
        comment: str | None,
        expected: int | None,
    ) -> tuple[YamlConnectorVersion, bool]:
        """Stores a document as the next version of a locked one, unless it equals the newest; the second value is true
        if it is new. Raises StaleVersion if `expected` is not the newest version, and LimitReached."""
        newest = self.newest_version(item)
        if expected is not None and expected != newest:
            raise StaleVersion(newest, "connector document")
        same = self.session.scalar(
            select(YamlConnectorVersion).where(
                YamlConnectorVersion.yaml_connector_id == item.id,
                YamlConnectorVersion.version == newest,
                YamlConnectorVersion.document == type_coerce(document, JSONB),
            )
        )
        if same is not None:
            return same, False
        most = self.limits("yaml_connector_versions") if self.limits is not None else newest + 1
        if newest + 1 > most:
            raise LimitReached("yaml_connector_versions", most, "versions of the connector document")
        return self._store(item, newest + 1, document, authored_by, comment), True

    def publish(self, item: YamlConnector, version: YamlConnectorVersion) -> None:
        """Makes a version of a locked document the live one."""
        item.live_version = version.version
        item.display_name = version.document["displayName"]
        item.updated_at = func.now()
        self._flush()

    def newest_version(self, item: YamlConnector) -> int:
        """Returns the number of the newest version."""
        of_it = YamlConnectorVersion.yaml_connector_id == item.id
        return self.session.scalar(select(func.max(YamlConnectorVersion.version)).where(of_it)) or 0

    def version(self, item: YamlConnector, version: int) -> YamlConnectorVersion | None:
        """Returns a version; None if it does not exist."""
        return self.session.get(YamlConnectorVersion, (item.id, version))

    def versions(self, item: YamlConnector) -> Sequence[YamlConnectorVersion]:
        """Returns all versions, newest first."""
        of_it = select(YamlConnectorVersion).where(YamlConnectorVersion.yaml_connector_id == item.id)
        return self.session.scalars(of_it.order_by(YamlConnectorVersion.version.desc())).all()

    def newest_versions(self, items: Sequence[YamlConnector]) -> dict[str, int]:
        """Returns the number of the newest version by catalog id."""
        ids = [each.id for each in items]
        of_them = YamlConnectorVersion.yaml_connector_id
        query = select(of_them, func.max(YamlConnectorVersion.version)).where(of_them.in_(ids)).group_by(of_them)
        return {row[0]: row[1] for row in self.session.execute(query)}

    def connectors(self, name: str) -> list[Connector]:
        """Returns the connectors whose config names the document, in whichever version, by name."""
        named = Connector.config["document"].astext
        using = ConnectorRepository(self.session, self.tenant_id).owned()
        using = using.where(Connector.type == TYPE, or_(named == name, named.startswith(f"{name}@", autoescape=True)))
        return list(self.session.scalars(using.order_by(Connector.name)))

    def reading(self, name: str, connectors: Iterable[Connector]) -> list[ReadingNode]:
        """Returns the source nodes of live IRs that name the document, or read through one of the connectors."""
        named = [text_ for each in connectors for text_ in (each.id, each.name)]
        wanted = {"tenant": self.tenant_id, "exact": f"yaml:{name}", "begin": f"yaml:{name}@", "named": named}
        return [
            ReadingNode(row.id, row.name, row.connector_id, row.node) for row in self.session.execute(_READING, wanted)
        ]

    def remove(self, item: YamlConnector) -> None:
        """Deletes a locked document with its versions. Raises Conflict, with names, while connectors or pipelines use
        it."""
        connectors = self.connectors(item.name)
        readers = {each.pipeline: None for each in self.reading(item.name, [])}
        said = [_listed("connector", [each.name for each in connectors]), _listed("pipeline", list(readers))]
        if uses := " and ".join(each for each in said if each):
            raise Conflict(f"The connector document '{item.name}' is used by {uses}")
        super().remove(item)

    def forget_columns(self, nodes: Iterable[ReadingNode]) -> None:
        """Forgets what was last found in sources: another version may have other columns."""
        keys = [(each.pipeline_id, str(each.node.get("id"))) for each in nodes]
        if keys:
            found = tuple_(FoundColumns.pipeline_id, FoundColumns.node_id)
            self.session.execute(delete(FoundColumns).where(found.in_(keys)))

    def _store(
        self, item: YamlConnector, version: int, document: dict[str, Any], authored_by: str, comment: str | None
    ) -> YamlConnectorVersion:
        stored = YamlConnectorVersion(
            yaml_connector_id=item.id,
            version=version,
            document=json.loads(json.dumps(document)),
            authored_by=authored_by,
            comment=comment,
        )
        self.session.add(stored)
        self.session.flush()
        return stored


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    others = " and others" if len(names) > _NAMED else ""
    return f"the {what}{'s' * (len(names) > 1)} {', '.join(repr(each) for each in names[:_NAMED])}{others}"


_READING = text("""
    SELECT p.id, p.name, p.connector_id, node.node
    FROM headrace.pipelines p
    JOIN headrace.pipeline_ir_versions v ON v.pipeline_id = p.id AND v.version = p.live_version
    CROSS JOIN LATERAL jsonb_path_query(v.ir, '$.nodes[*] ? (@.kind == "source")') AS node(node)
    WHERE p.tenant_id = :tenant AND (
        node.node ->> 'connector' = :exact OR starts_with(node.node ->> 'connector', :begin)
        OR coalesce(node.node ->> 'connection', p.connector_id) = ANY (CAST(:named AS text[]))
    )
    ORDER BY p.name
""")
