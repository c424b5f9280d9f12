"""The ledgers that a chain of runs may have committed to: one in each database that its targets are in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from headrace.connectors.postgresql import questions
from headrace.connectors.postgresql.connections import Database
from headrace.connectors.postgresql.ledger.committed import Committed, committed_rows
from headrace.connectors.postgresql.ledger.replayed import Replayed

Versions = Sequence[int | None]
"""IR versions; None is the one that the next run takes."""

DatabasesOf = Callable[[Versions], Sequence[Database]]
"""The databases of the targets of some versions of a pipeline, each once. Raises TargetError."""


class Ask(Protocol):
    """Asks a database one of `connectors.postgresql.questions`."""

    def __call__(self, database: Database, question: str, *arguments: Any) -> Any: ...


class Ledgers:
    """Those of one pipeline. Every method raises TargetError and psycopg.Error."""

    def __init__(self, databases_of: DatabasesOf, ask: Ask = questions.ask) -> None:
        self._databases_of, self._ask = databases_of, ask

    @classmethod
    def of(cls, *databases: Database) -> Ledgers:
        """Those of a pipeline all of whose versions have their targets in these databases."""
        return cls(lambda _: databases)

    def committed(
        self, versions: Versions, load_keys: Sequence[str], reading: Sequence[int] = (0,)
    ) -> tuple[int, bool]:
        """How many source rows the targets were given under these ids, and whether anything was committed; see
        `committed_rows`."""
        found = self._all(versions, "committed", [*load_keys])
        return committed_rows([Committed(*each) for each in found], reading)

    def published(self, versions: Versions, root_run_id: str, load_keys: Sequence[str]) -> tuple[str, ...]:
        """The tables that rows of a chain of runs are visible in; see `published_tables`."""
        return tuple(sorted({str(each) for each in self._all(versions, "published", root_run_id, [*load_keys])}))

    def replayed(self, versions: Versions, origin_run_id: str) -> list[Replayed]:
        """The failed rows that were loaded after all; see `replayed_rows`."""
        found = self._all(versions, "replayed", origin_run_id)
        return [Replayed(source, target, table, frozenset(rows)) for source, target, table, rows in found]

    def restart_reasons(self, version: int | None, load_key: str) -> list[str]:
        """The reasons why targets have to be loaded again, as in `restart_reasons`."""
        return [str(each) for each in self._all([version], "restart_reasons", load_key)]

    def _all(self, versions: Versions, question: str, *arguments: Any) -> Iterator[Any]:
        for database in self._databases_of(versions):
            yield from self._ask(database, question, *arguments)
