"""Kinesis on this machine: moto in this process, and kinesalite and kinesis-local as programs of their own.

moto checks no login and never ends a closed shard: it moves its records to the children. Its sequence numbers are 1, 2,
3 in each shard. kinesalite has numbers as Amazon's, ends closed shards, lets iterators expire and deletes what is too
old by its clock, which is set here; it says of every shard that nothing is behind, and never answers a question for an
iterator at a time that has no record after it. kinesis-local answers that, and names children as Amazon does.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.deployments.stack.process import die_with_parent
from headrace.ir.schema import Schema
from tests.connectors.stores.emulators import free_port, npm_program

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
REGION = "us-east-1"
SECRET = "hunter2-and-more"
KEY = {"accessKeyId": "reader", "secretAccessKey": SECRET}
_PATIENCE_S = 30.0
_CLOCK = """
const fs = require('fs'), now = Date.now, file = process.env.CLOCK
Date.now = () => now() + Number(fs.readFileSync(file, 'utf8') || 0)
"""


class Streams:
    """A service to write to."""

    def __init__(self, port: int, clock: Path | None = None) -> None:
        self.url, self._clock = f"http://127.0.0.1:{port}", clock
        self.client = boto3.client(
            "kinesis", endpoint_url=self.url, region_name=REGION, aws_access_key_id="k", aws_secret_access_key="s"
        )

    def make(self, shards: int = 1) -> str:
        """The name of a new stream."""
        name = f"s-{uuid4().hex[:8]}"
        self.client.create_stream(StreamName=name, ShardCount=shards)
        self.settled(name)
        return name

    def settled(self, name: str) -> None:
        """Waits until a change of the stream is made."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"] != (
            "ACTIVE"
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def put(self, name: str, *values: bytes, key: str | None = None, hash_key: int | None = None) -> None:
        """Puts records; each has a key of its own unless there is one."""
        chosen = {} if hash_key is None else {"ExplicitHashKey": str(hash_key)}
        records = [{"Data": each, "PartitionKey": key or uuid4().hex, **chosen} for each in values]
        for at in range(0, len(records), 500):
            put = self.client.put_records(StreamName=name, Records=records[at : at + 500])
            assert not put["FailedRecordCount"]

    def split(self, name: str, shard: str) -> None:
        """Splits a shard in the middle."""
        [found] = [each for each in self.client.list_shards(StreamName=name)["Shards"] if each["ShardId"] == shard]
        first, last = (int(found["HashKeyRange"][f"{each}HashKey"]) for each in ("Starting", "Ending"))
        self.client.split_shard(StreamName=name, ShardToSplit=shard, NewStartingHashKey=str((first + last + 1) // 2))
        self.settled(name)

    def merge(self, name: str, one: str, other: str) -> None:
        """Merges two shards that are neighbours."""
        self.client.merge_shards(StreamName=name, ShardToMerge=one, AdjacentShardToMerge=other)
        self.settled(name)

    def shift(self, seconds: float) -> None:
        """Sets the clock of the program so much from that of this machine."""
        assert self._clock is not None
        self._clock.write_text(str(int(seconds * 1000)))

    def context(
        self,
        settings: Mapping[str, Any],
        *,
        fields: Schema = (),
        credentials: Mapping[str, Any] = KEY,
        networks: Sequence[Any] = LOOPBACK,
        lent: Sequence[str] = (),
        **config: Any,
    ) -> Context:
        """What a source of it is opened with."""
        given = {"streamName": "unset", "region": REGION, "endpoint": self.url, **config}
        connection = Connection("conn_1", "amazon_kinesis", given, credentials)
        surroundings = Surroundings(FilesRoot(Path("/nowhere")), tuple(networks), lent)
        return Context(connection, surroundings, settings, fields)


class Front:
    """Passes requests on to a service, but for those that a test answers: operations and what they get, in turn."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.port = int(self._server.server_port)
        self.asked: list[tuple[str, str]] = []
        """Operation and `Authorization` of every request."""
        self.faults: list[tuple[str, int, Any]] = []
        """Operations, and the status and JSON that the next of each gets instead of an answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="kinesis", daemon=True).start()

    def refuse(self, operation: str, code: str, *, times: int = 1, status: int = 400) -> None:
        """The next questions of an operation get an error."""
        self.faults += [(operation, status, {"__type": code, "message": f"{code} as asked"})] * times

    def close(self) -> None:
        """Answers no more."""
        self._server.shutdown()

    def _answer(self, environ: Any, start: Any) -> Any:
        operation = str(environ.get("HTTP_X_AMZ_TARGET", "")).rpartition(".")[2]
        self.asked.append((operation, str(environ.get("HTTP_AUTHORIZATION", ""))))
        for at, (wanted, status, said) in enumerate(self.faults):
            if wanted == operation:
                del self.faults[at]
                start(f"{status} As asked", [("Content-Type", "application/x-amz-json-1.1")])
                return [json.dumps(said).encode()]
        return self._inner(environ, start)


def moto_front() -> Front:
    """moto in this process."""
    return Front(DomainDispatcherApplication(create_backend_app))


@contextmanager
def kinesalite() -> Iterator[Streams]:
    """A service with nothing in it, whose clock can be set."""
    program = npm_program("kinesalite", "3.3.3", "kinesalite/cli.js")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        clock, ahead = Path(folder) / "clock", Path(folder) / "clock.js"
        clock.write_text("0")
        ahead.write_text(_CLOCK)
        waits = [f"--{each}StreamMs=20" for each in ("create", "delete", "update")]
        command = ["node", "-r", str(ahead), str(program), "--port", str(port), "--shardLimit", "200", *waits]
        with _running(command, port, {"CLOCK": str(clock)}):
            yield Streams(port, clock)


@contextmanager
def kinesis_local() -> Iterator[Streams]:
    """A service with nothing in it."""
    program = npm_program("kinesis-local", "0.6.2", "kinesis-local/main.js")
    port, tls = free_port(), free_port()
    waits = {f"{each}_DURATION": "20ms" for each in ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS")}
    ports = {"KINESIS_MOCK_PLAIN_PORT": str(port), "KINESIS_MOCK_TLS_PORT": str(tls)}
    more = {"KINESIS_MOCK_CERT_PATH": str(program.parent / "server.json"), "LOG_LEVEL": "ERROR"}
    with _running(["node", str(program)], port, ports | waits | more):
        yield Streams(port)


@contextmanager
def _running(command: list[str], port: int, more: Mapping[str, str]) -> Iterator[None]:
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=told,
            env={**os.environ, **more},
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
        )

        def runs() -> None:
            if process.poll() is not None:
                told.seek(0)
                said = told.read()[-2000:].decode(errors="replace")
                raise AssertionError(f"{command[-1]} ended with {process.returncode}: {said}")

        try:
            deadline = time.monotonic() + _PATIENCE_S
            while True:
                runs()
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, f"{command[-1]} does not answer"
                    time.sleep(0.05)
            yield
            runs()
        finally:
            process.kill()
            process.wait(10)
