"""The double of a Snowflake account: a server on loopback that the real driver logs in to and reads from."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.network.egress import Network
from headrace.connectors.snowflake.connector import SNOWFLAKE
from headrace.connectors.snowflake.source import SnowflakeSource
from headrace.ir.schema import Schema
from tests.connectors.stores.emulators import free_port, missing, running
from tests.environments import NotInstalledError, environment

PACKAGES = ("fakesnow[server]==0.12.1", "snowflake-connector-python<5")
"""An environment of their own: fakesnow is made for the driver before 5."""
PASSWORD = "hunter2"
CREDENTIALS = {"username": "anna", "password": PASSWORD}
LOOPBACK = (ip_network("127.0.0.0/8"),)
_WELL_BEHAVED = {
    **{"chunkRows": 20_000, "chunkHost": "127.0.0.1", "failStatus": 500},
    **{"failChunks": 0, "cutChunks": 0, "failQueries": 0},
}
_PROGRAM = Path(__file__).with_name("server_program.py")
_HTTP = httpx.Client(timeout=60, trust_env=False, verify=False)
"""For all requests: a client of its own reads the machine's certificates, which takes longer than the answer."""


@dataclass(frozen=True)
class Double:
    """The account `acc` with the database ANALYTICS, the warehouse COMPUTE_WH and the roles PUBLIC and LOADER."""

    port: int
    sources: list[SnowflakeSource] = field(default_factory=list)

    def close(self) -> None:
        """Ends the sessions of its sources."""
        for source in self.sources:
            source.close()
        self.sources.clear()

    @property
    def config(self) -> dict[str, Any]:
        """A connector's."""
        return {
            "account": "acc",
            "warehouse": "COMPUTE_WH",
            "database": "ANALYTICS",
            "schema": "PUBLIC",
            "url": f"http://127.0.0.1:{self.port}",
        }

    def control(self, **how: Any) -> Any:
        """See the program."""
        return self._ask("POST", "/control", json=how)

    def clear(self) -> None:
        """As at first: without tables, and well-behaved."""
        self.control(clear=True, **_WELL_BEHAVED)

    def make(self, *statements: str) -> None:
        """Runs statements as an administrator."""
        self.control(sql=list(statements))

    def can(self, match: str, rowtype: Sequence[dict[str, Any]], *pieces: pa.Table) -> None:
        """Statements with this text in them give these pieces, as Snowflake itself would send them."""
        packed = [base64.b64encode(_stream(each)).decode() for each in pieces]
        self.control(canned=[{"match": match, "rowtype": list(rowtype), "pieces": packed}])

    def info(self) -> dict[str, Any]:
        """What it was asked."""
        found: dict[str, Any] = self._ask("GET", "/info")
        return found

    def context(
        self,
        settings: dict[str, Any],
        fields: Schema = (),
        *,
        networks: tuple[Network, ...] = LOOPBACK,
        credentials: dict[str, Any] | None = None,
        **config: Any,
    ) -> Context:
        given = {name: value for name, value in (self.config | config).items() if value is not None}
        connection = Connection("conn_1", "snowflake", given, CREDENTIALS if credentials is None else credentials)
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), networks), settings, fields)

    def source(self, fields: Schema = (), **settings: Any) -> SnowflakeSource:
        return self.opened(self.context(settings, fields))

    def opened(self, context: Context) -> SnowflakeSource:
        source = SNOWFLAKE.source(context)
        assert isinstance(source, SnowflakeSource)
        source._pauses = (0.01, 0.01)
        self.sources.append(source)
        return source

    def _ask(self, method: str, path: str, **how: Any) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        response = _HTTP.request(method, url, **how)
        assert response.status_code == 200, response.text
        return response.json()


@contextmanager
def double(cache: Path) -> Iterator[Double]:
    """A running one; its environment is made below `cache`, once."""
    port = free_port()
    with running([str(_python(cache)), str(_PROGRAM), str(port)], port):
        yield Double(port)


def _python(cache: Path) -> Path:
    try:
        return environment(cache / "snowflake", PACKAGES)
    except NotInstalledError as error:
        missing("fakesnow", str(error))
        raise


def _stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
