"""Creates missing tables of schema documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.exc import SQLAlchemyError

from headrace.catalog.engine import make_engine
from headrace.catalog.schemas.ddl import create_table, definition_problems, table_exists
from headrace.catalog.schemas.names import FieldDefinition, table_name
from headrace.connectors.postgresql.error_messages import error_message
from headrace.flows.runtime.errors import RunFailed


def make_missing(database_url: str, wanted: Mapping[str, Sequence[FieldDefinition]]) -> list[str]:
    """Creates `public.ds_<name>` for each name without a table, in one transaction, and returns their names.

    Raises RunFailed.
    """
    engine = make_engine(database_url, pool_size=1)
    made: list[str] = []
    try:
        with engine.begin() as connection:
            for name, fields in wanted.items():
                table = table_name("default", name)
                if problems := definition_problems(table, fields):
                    raise RunFailed("; ".join(f"{name}: {each.path}: {each.message}" for each in problems))
                if not table_exists(connection, table):
                    create_table(connection, table, fields)
                    made.append(f"public.{table}")
    except SQLAlchemyError as error:
        raise RunFailed(f"The tables cannot be created: {error_message(error)}") from None
    finally:
        engine.dispose()
    return made
