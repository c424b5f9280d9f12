"""The objects of a tenant by name, for `apply` to compare and `export` to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headrace.catalog.schemas.names import FieldDefinition
from headrace.deployments.cli.documents.models import YAML_CONNECTOR, FieldShape, SchemaShape
from headrace.deployments.cli.documents.placeholders import escaped, placeholder
from headrace.deployments.cli.rest import ApiRefused, Rest

COLLECTIONS = {
    YAML_CONNECTOR: "/yaml-connectors",
    "connector": "/connectors",
    "schema": "/schemas",
    "pipeline": "/pipelines",
    "replication": "/replications",
}

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ir:
    """The live IR of a pipeline, or the newest if none is live."""

    document: Item
    live: bool


class Tenant:
    """The objects of the key's tenant by kind and name, read on first use."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest
        self._items: dict[str, dict[str, Item]] = {}

    def on(self, rest: Rest) -> Tenant:
        """A copy that uses another session; objects remembered by the copy are not added here."""
        copied = Tenant(rest)
        copied._items = {kind: dict(self.of(kind)) for kind in COLLECTIONS}
        return copied

    def of(self, kind: str) -> dict[str, Item]:
        """Name → object."""
        if kind not in self._items:
            self._items[kind] = {_name(kind, each): each for each in self.rest.all(COLLECTIONS[kind])}
        return self._items[kind]

    def remember(self, kind: str, item: Item) -> None:
        """Adds an object that was created or changed."""
        self.of(kind)[_name(kind, item)] = item

    def described(self, item: Item) -> Item:
        """The live version of a connector's document."""
        found: Item = self.rest.get(f"{COLLECTIONS[YAML_CONNECTOR]}/{item['id']}", live="true")["document"]
        return found

    def ir(self, pipeline: Item) -> Ir | None:
        """The IR of a pipeline; None for one of legacy nodes and edges."""
        newest = self._version(pipeline)
        if newest is None or newest.live:
            return newest
        return self._version(pipeline, live="true") or newest

    def _version(self, pipeline: Item, **which: str) -> Ir | None:
        try:
            found = self.rest.get(f"/pipelines/{pipeline['id']}/ir", **which)
        except ApiRefused as error:
            if error.status == 409:
                return None
            raise
        return Ir(found["ir"], found["live"])

    def name_of_schema(self, schema_id: str | None) -> str | None:
        """The name of the schema of that id."""
        return next((name for name, each in self.of("schema").items() if each["id"] == schema_id), None)

    def documents(self) -> Iterator[Item]:
        """All objects as documents of `apply`, in an order in which they can be created. Secrets are placeholders. A
        pipeline of legacy nodes and edges has no IR and cannot be applied."""
        for _, item in sorted(self.of(YAML_CONNECTOR).items()):
            yield self.described(item)
        types = {each["type"]: each for each in self.rest.get("/connector-types")["data"]}
        for _, item in sorted(self.of("connector").items()):
            yield _connector(item, types.get(item["type"], {}).get("authConfigSchema", {}))
        # Objects that a replication has created are created again by it.
        made = [item for item in self.of("pipeline").values() if item.get("replicationId")]
        own_schemas = {item["schemaId"] for item in made}
        for name, item in sorted(self.of("schema").items()):
            if item["id"] not in own_schemas:
                yield self._schema(name, item)
        for name, item in sorted(self.of("pipeline").items()):
            if not item.get("replicationId"):
                yield self._pipeline(name, item)
        for _, item in sorted(self.of("replication").items()):
            yield self._replication(item)

    def _schema(self, name: str, item: Item) -> Item:
        facts = {
            "displayName": item["displayName"],
            "description": item["description"],
            "linkedSchema": self.name_of_schema(item["linkedSchemaId"]),
            "joinMapping": item["joinMapping"],
            "summaryColumns": item["summaryColumns"],
        }
        usual = SchemaShape(kind="schema", name=name)
        unusual = {
            "entityType": item["entityType"] if item["entityType"] != usual.entity_type else None,
            "schemaType": item["schemaType"] if item["schemaType"] != usual.schema_type else None,
            "autoEnrich": True if item["autoEnrich"] else None,
        }
        return _without_nulls({"kind": "schema", "name": name, **facts, **unusual}) | {
            "fields": [_field(each) for each in item["fields"]]
        }

    def _replication(self, item: Item) -> Item:
        document = {**item["document"], "connection": item["connector"]["name"]}
        return document | ({"active": False} if item["status"] == "paused" else {})

    def _pipeline(self, name: str, item: Item) -> Item:
        found = self.ir(item)
        ir = dict(found.document) if found is not None else {}
        beside = {
            "kind": "pipeline",
            "name": name if ir.get("metadata", {}).get("name") != name else None,
            "connector": item["connector"]["name"],
            "schema": item["schema"]["name"],
            "description": item["description"],
            "cron": item["schedule"],
            "active": False if item["status"] == "paused" else None,
            "executionConfig": item["executionConfig"] or None,
        }
        return _without_nulls(beside) | {key: value for key, value in ir.items() if key != "kind"}


def _name(kind: str, item: Item) -> str:
    """What identifies an object among those of its kind."""
    return str(item["id" if kind == YAML_CONNECTOR else "name"])


def definition(shape: FieldShape) -> FieldDefinition:
    """The column of a file with the server's defaults."""
    default = shape.default_value
    if isinstance(default, bool):
        default = "true" if default else "false"
    return FieldDefinition(
        name=shape.name,
        display_name=shape.display_name or shape.name,
        data_type=shape.data_type,
        length=shape.length,
        precision=shape.precision,
        scale=shape.scale,
        is_nullable=True if shape.is_nullable is None else shape.is_nullable,
        is_primary_key=shape.is_primary_key,
        is_unique=shape.is_unique,
        is_predictor=shape.is_predictor,
        default_value=None if default is None else str(default),
        description=shape.description,
    )


def _connector(item: Item, credentials: Item) -> Item:
    secrets = {
        name: placeholder(item["name"], name)
        for name, each in credentials.get("properties", {}).items()
        if each.get("writeOnly") or name in credentials.get("required", ())
    }
    for where, reference in item.get("authReferences", {}).items():
        if "." not in where:
            secrets[where] = "${prefect:" + reference.removeprefix("prefect://") + "}"
    facts = {"description": item["description"], "config": escaped(item["config"]) or None}
    method = {"authMethod": item["authMethod"]} if item["authMethod"] != "access_key" else {}
    whole = secrets.pop("*", None)
    authentication = {"authConfig": whole or secrets} if whole or secrets else {}
    head = {"kind": "connector", "name": item["name"], "type": item["type"]}
    return head | _without_nulls(facts) | method | authentication


def _field(item: Item) -> Item:
    usual = {
        "displayName": item["name"],
        "isNullable": not item["isPrimaryKey"],
        "isPrimaryKey": False,
        "isUnique": False,
        "isPredictor": False,
        "description": "",
    }
    sizes = ("length", "precision", "scale", "defaultValue")
    shown = {name: item[name] for name in sizes if item[name] is not None}
    return {
        "name": item["name"],
        "dataType": item["dataType"],
        **shown,
        **{name: item[name] for name, value in usual.items() if item[name] != value},
    }


def _without_nulls(facts: Item) -> Item:
    return {name: value for name, value in facts.items() if value is not None}
