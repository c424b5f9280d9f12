"""Expands a replication: from the found tables and the catalog's records, makes a plan for each table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from headrace.catalog.replications.records import TableChange
from headrace.catalog.schemas.ddl import TABLE_SCHEMA, definition_problems
from headrace.catalog.schemas.names import FieldDefinition, table_name
from headrace.connectors.connector import Connector
from headrace.flows.replication.columns import changes, definition, history, notes_of, widened
from headrace.flows.replication.found import FoundColumn, FoundTable
from headrace.flows.replication.loading import Loading, loading_of
from headrace.flows.replication.naming import column_names, pipeline_name, schema_name
from headrace.flows.replication.pipeline import pipeline_document
from headrace.flows.replication.table_plan import KnownTable, Now, TablePlan
from headrace.ir import parse_ir
from headrace.ir.load_modes import LOAD_MODES
from headrace.ir.problems import Problem, nearest
from headrace.ir.replication import ReplicationIR

NEW_TABLE = "new_table"
"""The code of the problem of a table that is new where `newTables` is `fail`."""

_MAX_COLUMN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Expansion:
    """The input of an expansion: the document, its connector, the tenant, and the catalog's records."""

    document: ReplicationIR
    connector: Connector
    tenant_id: str
    now: Now

    def plans(self, found: Sequence[FoundTable], only: Collection[str] | None = None) -> list[TablePlan]:
        """The plan of each table, by name; only those in `only` if given. Includes tables that no longer exist."""
        plans = [self._plan(table) for table in found if only is None or table.name in only]
        plans = list(self._told_apart(plans))
        there = {table.name for table in found}
        for name, known in self.now.tables.items():
            if name not in there and (only is None or name in only):
                change: TableChange = "gone" if self.document.sources.has(name) else "left_out"
                plans.append(TablePlan(name, change, schema_name=known.schema_name, columns=known.columns))
        return sorted(plans, key=lambda plan: plan.name)

    def _plan(self, table: FoundTable) -> TablePlan:
        known = self.now.tables.get(table.name)
        new_tables = self.document.new_tables
        plan = TablePlan(table.name, "known" if known else "new", table.kind, table.rows, table.comment)
        new = self.now.is_new(table.name)
        if new and new_tables == "ignore":
            return replace(plan, change="ignored")
        if table.error is not None:
            problem = Problem("sources", table.error.code, table.error.message, table.error.hint)
            return replace(plan, problems=(problem,))
        if new and new_tables == "fail":
            hint = "set newTables to follow, or leave it out with sources.exclude"
            return replace(plan, problems=(Problem("newTables", NEW_TABLE, f"'{table.name}' is new", hint),))
        return self._expanded(plan, table, known)

    def _expanded(self, plan: TablePlan, table: FoundTable, known: KnownTable | None) -> TablePlan:
        table = _with_known(table, known)
        settled = self.document.settings_of(table.name)
        settings = settled.settings
        problems = list(_column_problems(table.columns))
        columns, missing = _wanted(table, settings.config.get("columns"))
        problems += missing
        loading = loading_of(settled, table, columns, self.connector)
        problems += loading.problems
        read, columns = columns, [each for each in columns if each.name != loading.operation]
        name = known.schema_name if known else schema_name(settings.target, table, self.document.metadata.name)
        existing = known.fields if known else self.now.schemas.get(name)
        names = dict(known.names) if known else _same(columns, existing or ())
        if known is not None and settings.schema_contract != "evolve":
            more = [each.name for each in columns if each.name not in names]
            if more and settings.schema_contract == "freeze":
                message = f"The source has got the columns {', '.join(more)}"
                hint = "use another schemaContract, or name the other columns in config.columns"
                problems.append(Problem("schemaContract", "schema_frozen", message, hint))
            columns = [each for each in columns if each.name in names]
            read = [each for each in read if each.name in (*names, loading.operation)]
        names = column_names([each.name for each in columns], names)
        wanted = [
            definition(each, names[each.name], key=loading.keyed and each.name in loading.key) for each in columns
        ]
        if LOAD_MODES[loading.mode].history:
            wanted += [each for each in history() if each.name not in {field.name for field in wanted}]
        if loading.marked is not None and loading.marked not in {field.name for field in wanted}:
            wanted.append(FieldDefinition(loading.marked, loading.marked, "timestamptz"))
        own = {field.name.lower(): field for field in existing or ()}
        added = [
            replace(each, is_primary_key=False, is_nullable=True) for each in wanted if each.name.lower() not in own
        ]
        altered = [
            (own[each.name.lower()], after)
            for each in wanted
            if each.name.lower() in own and (after := widened(own[each.name.lower()], each)) is not None
        ]
        table_of_it = table_name(self.tenant_id, name)
        label = pipeline_name(self.document.metadata.name, table.name)
        problems += self._name_problems(name, label, known)
        problems += _key_problems(loading, names, existing, f"{TABLE_SCHEMA}.{table_of_it}")
        if existing is None and name:
            problems += [_of_table(each) for each in definition_problems(table_of_it, wanted)]
        different = changes(known.columns, table.columns) if known else []
        document = pipeline_document(
            self.document, settings, table, loading, label, table_of_it, names, self.connector, read
        )
        if not problems:
            problems += parse_ir(document).problems
        return replace(
            plan,
            change="changed" if different else plan.change,
            schema_name=name,
            table=f"{TABLE_SCHEMA}.{table_of_it}",
            pipeline_name=label,
            load_mode=loading.mode,
            key=tuple(names[each] for each in loading.key if each in names),
            cursor=loading.cursor.column if loading.cursor else None,
            creates=existing is None,
            fields=tuple(wanted) if existing is None else tuple(existing),
            added=() if existing is None else tuple(added),
            altered=tuple(altered),
            columns=table.columns,
            names=names,
            column_changes=tuple(different),
            notes=(*loading.notes, *_sampled(table), *notes_of(columns), *_unheld(wanted, own)),
            problems=tuple(problems),
            document=document,
            execution_config=settings.execution_config.model_dump(by_alias=True, exclude_none=True),
        )

    def _name_problems(self, name: str, label: str, known: KnownTable | None) -> Iterator[Problem]:
        if not name:
            yield Problem("target", "invalid_name", "Nothing of its name can name a schema", "name one in an override")
        if known is None and name in self.now.taken:
            message = f"The schema '{name}' is loaded by {self.now.taken[name]}"
            yield Problem("target", "target_taken", message, "name another one in an override's target")
        if label in self.now.pipelines:
            message = f"There is a pipeline '{label}' that is not of this replication"
            yield Problem("metadata.name", "name_taken", message, "rename one of the two")

    def _told_apart(self, plans: Sequence[TablePlan]) -> Iterator[TablePlan]:
        """Two tables cannot be loaded into one: those that the catalog has keep it."""
        counted = Counter(plan.schema_name for plan in plans if plan.schema_name)
        kept = {known.schema_name for known in self.now.tables.values()}
        for plan in plans:
            shared = counted[plan.schema_name] > 1 or plan.schema_name in kept
            if plan.schema_name and shared and plan.name not in self.now.tables:
                message = f"Other tables would be loaded into the schema '{plan.schema_name}' too"
                problem = Problem("target", "same_target", message, "give it another target in an override")
                yield replace(plan, problems=(*plan.problems, problem))
            else:
                yield plan


def _column_problems(columns: Sequence[FoundColumn]) -> Iterator[Problem]:
    if not columns:
        yield Problem("sources", "no_columns", "It has no columns that can be read")
    for each in columns:
        if each.name.startswith("__") or not 0 < len(each.name) <= _MAX_COLUMN_CHARS:
            yield Problem(
                "sources",
                "unreadable_column",
                f"Its column '{each.name[:60]}' cannot be read: names of columns have 1 to {_MAX_COLUMN_CHARS} "
                "characters and do not begin with two underscores",
                "rename it there, read a view, or name the other columns in config.columns",
            )


def _wanted(table: FoundTable, named: object) -> tuple[list[FoundColumn], list[Problem]]:
    """The columns that are read: those of the setting `columns`, or all."""
    if not isinstance(named, list | tuple):
        return list(table.columns), []
    there = {each.name: each for each in table.columns}
    problems = [
        Problem("config.columns", "missing_column", f"It has no column '{name}'", nearest(name, there))
        for name in named
        if name not in there
    ]
    return [there[name] for name in named if name in there], problems


def _same(columns: Sequence[FoundColumn], fields: Sequence[FieldDefinition]) -> dict[str, str]:
    """The columns that a schema that is there already has by their names."""
    there = {field.name.lower(): field.name for field in fields}
    return {each.name: there[each.name.lower()] for each in columns if each.name.lower() in there}


def _key_problems(
    loading: Loading, names: dict[str, str], existing: Sequence[FieldDefinition] | None, table: str
) -> Iterator[Problem]:
    if loading.mode not in ("upsert", "cdc_mirror") or existing is None:
        return
    key = {names.get(each, each) for each in loading.key}
    own = {field.name for field in existing if field.is_primary_key}
    unique = {field.name for field in existing if field.is_unique}
    if key != own and not (len(key) == 1 and key <= unique):
        has = f"({', '.join(sorted(own))})" if own else "none"
        message = f"Rows are identified by ({', '.join(sorted(key))}), and the key of {table} is {has}"
        yield Problem("key", "key_differs", message, "load it into another target, or delete the schema first")


def _with_known(table: FoundTable, known: KnownTable | None) -> FoundTable:
    """With the columns that are known of it, if only some documents were looked at: another sample is no change."""
    if table.sampled is None or known is None:
        return table
    there = {each.name for each in table.columns}
    kept = [each for each in known.columns if each.name not in there]
    return table.model_copy(update={"columns": (*table.columns, *kept)})


def _sampled(table: FoundTable) -> Iterator[str]:
    """Of columns that are those of some documents."""
    if table.sampled is not None:
        yield (
            f"its columns are those of {table.sampled:,} documents that were sampled: schemaContract says what becomes "
            "of those that only others have; a value of another type, or a decimal with more than 29 digits before the "
            "point or 9 after it, makes its row an error"
        )


def _unheld(wanted: Sequence[FieldDefinition], own: dict[str, FieldDefinition]) -> Iterator[str]:
    """Columns of a table that is there already whose type is another one, and stays."""
    for each in wanted:
        now = own.get(each.name.lower())
        if now is None or _typed(now) == _typed(each) or widened(now, each) is not None:
            continue
        if widened(each, now) is None:
            yield (
                f"{each.name}: it is {_type_text(now)} in the table and {_type_text(each)} in the source; a value that "
                "does not fit makes its row an error"
            )


def _typed(field: FieldDefinition) -> tuple[object, ...]:
    return field.data_type, field.length, field.precision, field.scale


def _type_text(field: FieldDefinition) -> str:
    sizes = [str(each) for each in (field.length, field.precision, field.scale) if each is not None]
    return f"{field.data_type}({', '.join(sizes)})" if sizes else field.data_type


def _of_table(problem: Problem) -> Problem:
    """A problem of a table's definition, with the place to correct."""
    if problem.path == "name":
        return replace(problem, path="target", hint="name a shorter one in an override's target")
    return problem
