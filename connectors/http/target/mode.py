"""The load into an API, as a run needs it: preparation, a loader per partition."""

from __future__ import annotations

from typing import ClassVar

import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.http.target.changes import Changes
from headrace.connectors.http.target.loader import ApiLoader
from headrace.connectors.http.target.target import ApiTarget
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.cursors import create_cursors
from headrace.connectors.postgresql.ledger.partitions import LedgerKey
from headrace.connectors.postgresql.ledger.resume_check import ReloadEffect
from headrace.connectors.postgresql.ledger.schema import create_ledger
from headrace.connectors.postgresql.ledger.sent_attributes import SentAttributes, create_sent_attributes
from headrace.connectors.postgresql.ledger.sent_requests import create_sent_requests
from headrace.connectors.postgresql.load.loader import PartitionRef
from headrace.connectors.postgresql.load.publication import publish_once
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.postgresql.tables.quarantine import create_quarantine
from headrace.connectors.target import PartitionLoader, PublishCallback, Published, Resume


class ApiLoad:
    """Sends every batch to an API. The ledger is in the warehouse (`spec.database_url`)."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = False
    beside: ClassVar[int] = 0
    again: ReloadEffect = "empty"

    def __init__(
        self, spec: LoadSpec, target: ApiTarget | None = None, *, changed_only: bool = False, apart: bool = False
    ) -> None:
        """`changed_only`: by `spec.upsert_key`. `apart`: the cursors of the sources move when all rows are sent, not
        batch by batch."""
        assert target is not None
        self._spec, self._target, self._apart = spec, target, apart
        self._key = spec.upsert_key if changed_only else ()

    def preview(self) -> str:
        """The request, for people."""
        text = self._target.preview()
        if self._key:
            text += f"; only records that have changed, by {', '.join(self._key)}"
        return text

    def begin(self) -> None:
        """Creates the tables of the engine that are missing. Raises TargetError, also for an address or credentials
        that cannot be used."""
        self._target.client()
        try:
            with connect(self._spec.database_url, autocommit=True) as connection:
                create_ledger(connection)
                create_cursors(connection)
                create_quarantine(connection, self._spec.quarantine_tables)
                create_sent_requests(connection)
                create_sent_attributes(connection)
        except psycopg.OperationalError as error:
            text = f"The database of the ledger cannot be reached: {first_line(error)}"
            raise TargetError("database_unreachable", text) from None
        except psycopg.Error as error:
            text = f"The database refused to prepare the ledger of {self._spec.table}: {first_line(error)}"
            raise TargetError("refused", text) from None

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """The loader of one partition."""
        spec, changes = self._spec, None
        if self._key:
            changes = Changes(self._key, SentAttributes(spec.pipeline_id, spec.target_node, spec.run_id))
        place = PartitionRef(stage, partition, source_node)
        return ApiLoader(spec, place, self._target, changes, moves_cursor=not self._apart)

    def publications(self) -> int:
        """1 if the cursors move at the end."""
        return 1 if self._apart else 0

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """Moves the cursors; no rows are held back."""
        key = LedgerKey(self._spec.load_key, self._spec.target_node, stage, index, "ledger", "publication")
        return publish_once(self._spec, key, lambda _: Published(0), on_publish, publications=1)

    def finish(self) -> None:
        """Closes the connections to the API."""
        self._target.close()
