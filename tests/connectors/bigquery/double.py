"""The double of BigQuery: a server on loopback, with both APIs, that the real client reads from."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace.connectors.bigquery.connector import BIGQUERY
from headrace.connectors.bigquery.source import BigQuerySource
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.network.egress import Network
from headrace.ir.schema import Schema
from tests.connectors.stores.emulators import free_port, missing, running
from tests.environments import NotInstalledError, environment

PACKAGES = ("bqemulator==1.4.0", "numpy", "pyjwt[crypto]")
"""An environment of their own: the emulator brings DuckDB, gRPC's tools and a web server."""
PROJECT, DATASET = "acme", "sales"
EMAIL = "reader@acme.iam.gserviceaccount.com"
LOOPBACK = (ip_network("127.0.0.0/8"),)
_TOKEN = "ya29.a-token-of-the-double"
_WELL_BEHAVED: dict[str, Any] = {
    **{"streams": 1, "responseRows": 65_536, "cutAfter": None, "cuts": 0, "cutStatus": "UNAVAILABLE", "failRest": 0},
    **{"failStatus": 503, "denied": None, "billedBytes": 0, "expired": False, "tokenSeconds": 3600},
}
_PROGRAM = Path(__file__).with_name("server_program.py")
_HTTP = httpx.Client(timeout=60, trust_env=False, verify=False)
"""For all requests: a client of its own reads the machine's certificates, which takes longer than the answer."""


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Double:
    """The project `acme` with the dataset `sales`."""

    port: int
    grpc_port: int
    sources: list[BigQuerySource] = field(default_factory=list)

    def close(self) -> None:
        """Hangs up for its sources."""
        for source in self.sources:
            source.close()
        self.sources.clear()

    @property
    def config(self) -> dict[str, Any]:
        """A connector's."""
        return {
            "project": PROJECT,
            "dataset": DATASET,
            "endpoint": f"http://127.0.0.1:{self.port}",
            "storageEndpoint": f"http://127.0.0.1:{self.grpc_port}",
        }

    @property
    def account(self) -> dict[str, Any]:
        """The JSON file of the service account's key."""
        return {
            "type": "service_account",
            "client_email": EMAIL,
            "private_key": pem(_key()),
            "private_key_id": "1",
            "token_uri": f"http://127.0.0.1:{self.port}/token",
        }

    @property
    def credentials(self) -> dict[str, Any]:
        return {"serviceAccount": self.account}

    def control(self, **how: Any) -> Any:
        """See the program."""
        return self._ask("POST", "/control", json=how)

    def clear(self) -> None:
        """As at first: an empty dataset, and well-behaved."""
        public = (
            _key()
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        self.control(**_WELL_BEHAVED, publicKey=public.decode())
        datasets = f"/bigquery/v2/projects/{PROJECT}/datasets"
        self._ask("DELETE", f"{datasets}/{DATASET}?deleteContents=true", expected=(200, 204, 404))
        self._ask("POST", datasets, json={"datasetReference": {"projectId": PROJECT, "datasetId": DATASET}})
        self.control(clear=True)

    def make(self, *statements: str) -> None:
        """Runs statements as an administrator."""
        for text in statements:
            place = {"projectId": PROJECT, "datasetId": DATASET}
            query = {"query": text, "useLegacySql": False, "defaultDataset": place}
            job = self._ask("POST", f"/bigquery/v2/projects/{PROJECT}/jobs", json={"configuration": {"query": query}})
            assert "errorResult" not in job["status"], f"{text}: {job['status']}"

    def table(self, name: str, fields: Sequence[dict[str, Any]]) -> None:
        """Makes a table of these columns: of statements, the emulator does not keep every type."""
        reference = {"projectId": PROJECT, "datasetId": DATASET, "tableId": name}
        body = {"tableReference": reference, "schema": {"fields": list(fields)}}
        self._ask("POST", f"/bigquery/v2/projects/{PROJECT}/datasets/{DATASET}/tables", json=body)

    def can(self, name: str, fields: Sequence[dict[str, Any]], rows: pa.Table, **more: Any) -> None:
        """A table of the dataset has these columns and rows, as Google itself would send them."""
        reference = {"projectId": PROJECT, "datasetId": DATASET, "tableId": name}
        table = {"tableReference": reference, "type": "TABLE", "schema": {"fields": list(fields)}, **more}
        table.setdefault("numRows", str(rows.num_rows))
        packed = base64.b64encode(_stream(rows)).decode()
        self.control(canned=[{"name": f"{DATASET}.{name}", "table": table, "rows": packed}])

    def info(self) -> dict[str, Any]:
        """What it was asked."""
        found: dict[str, Any] = self._ask("GET", "/info")
        return found

    def sessions(self) -> list[dict[str, Any]]:
        """The sessions that were made: table, fields, where, streams."""
        return [each for each in self.info()["asked"] if "table" in each]

    def reads(self) -> list[tuple[str, int]]:
        """The streams that were read, and from which row on."""
        return [(each["stream"], each["offset"]) for each in self.info()["asked"] if "stream" in each]

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
        login = self.credentials if credentials is None else credentials
        connection = Connection("conn_1", "bigquery", given, login)
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), networks), settings, fields)

    def source(self, fields: Schema = (), **settings: Any) -> BigQuerySource:
        return self.opened(self.context(settings, fields))

    def opened(self, context: Context) -> BigQuerySource:
        source = BIGQUERY.source(context)
        assert isinstance(source, BigQuerySource)
        source._pauses = (0.01, 0.01)
        source._dialect.rest.pauses = (0.01, 0.01)
        self.sources.append(source)
        return source

    def _ask(self, method: str, path: str, *, expected: tuple[int, ...] = (200,), **how: Any) -> Any:
        url, headers = f"http://127.0.0.1:{self.port}{path}", {"Authorization": f"Bearer {_TOKEN}"}
        response = _HTTP.request(method, url, headers=headers, **how)
        assert response.status_code in expected, response.text
        return response.json() if response.content else None


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@contextmanager
def double(cache_folder: Path) -> Iterator[Double]:
    """A running one; its environment is made below `cache_folder`, once."""
    port, grpc_port = free_port(), free_port()
    program = [str(_python(cache_folder)), str(_PROGRAM), str(port), str(grpc_port)]
    with running(program, grpc_port):
        running_double = Double(port, grpc_port)
        deadline = time.monotonic() + 60
        while True:
            try:
                running_double.info()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, "bqemulator does not answer"
                time.sleep(0.1)
        yield running_double


def _python(cache_folder: Path) -> Path:
    try:
        return environment(cache_folder / "bigquery", PACKAGES)
    except NotInstalledError as error:
        missing("bqemulator", str(error))
        raise


def _stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
