"""The statements by which the tables of a plan are created and changed, as text for people."""

from __future__ import annotations

from psycopg import sql

from headrace.catalog.schemas.alter import add_clause, type_change_clause
from headrace.catalog.schemas.ddl import TABLE_SCHEMA, comment_statements, create_statement, table_comment
from headrace.flows.replication.table_plan import TablePlan


def statements(plan: TablePlan) -> list[str]:
    """The statements for the table, in order; empty for a table that is not copied."""
    if not plan.runs:
        return []
    table = plan.table.removeprefix(f"{TABLE_SCHEMA}.")
    made: list[sql.Composed] = []
    if plan.creates:
        made.append(create_statement(table, plan.fields))
        made += [table_comment(table, plan.comment)] if plan.comment else []
        made += comment_statements(table, plan.fields)
    name = sql.Identifier(TABLE_SCHEMA, table)
    for field in plan.added:
        made.append(sql.SQL("ALTER TABLE {} {}").format(name, add_clause(field)))
        made += comment_statements(table, [field])
    made += [sql.SQL("ALTER TABLE {} {}").format(name, type_change_clause(after)) for _, after in plan.altered]
    return [f"{each.as_string()};" for each in made]
