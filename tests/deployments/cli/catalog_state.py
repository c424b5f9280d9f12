"""Everything that a command could have changed, to compare before and after it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from tests.api.conftest import Facade


def state(facade: Facade) -> dict[str, Any]:
    """Every row of the catalog, and every table that is there with its columns."""
    with facade.engine.connect() as connection:
        named = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'headrace' ORDER BY 1"
        tables = connection.execute(text(named)).scalars().all()
        found: dict[str, Any] = {
            table: connection.execute(text(f"SELECT to_jsonb(t)::text FROM headrace.{table} t ORDER BY 1"))
            .scalars()
            .all()
            for table in tables
            if table not in ("api_keys",)
        }
        columns = (
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        )
        found["public"] = sorted(map(tuple, connection.execute(text(columns))))
    return found | {"prefect": [*facade.orchestrator.registrations]}
