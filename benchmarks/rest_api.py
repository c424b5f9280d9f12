"""Reading an HTTP API page by page: CPU seconds of the client for so many records, alone and with a key and a cursor.

    python -m benchmarks.rest_api [--records 100000] [--page 100] [--rounds 3]

The server is a process of its own whose pages are made before anything is measured. A record has ten keys; with a key
and a cursor, the source finds records that came before, and the newest value. Rounds alternate; the least CPU counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.http.source import RestSource

_FIELDS = {
    "id": "bigint",
    "email": "text",
    "amount": "decimal(38,20)",
    "active": "boolean",
    "note": "text",
    "tags": "json",
    "country": "text",
    "score": "double",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_READ = {
    "path": "/records",
    "records": "items",
    "pagination": {"type": "cursor", "param": "at", "next": "next"},
    "fields": _FIELDS,
}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "key": {"key": ["id"]},
    "cursor": {"cursor": {"field": "updated_at"}},
    "key and cursor": {"key": ["id"], "cursor": {"field": "updated_at"}},
}


def _record(n: int) -> str:
    moment = f"2024-{1 + n // 40_320 % 12:02}-{1 + n // 1440 % 28:02}T{n // 60 % 24:02}:{n % 60:02}:00Z"
    return (
        f'{{"id": {n}, "email": "person{n}@example.com", "amount": {n}.12345678901234567890, "active": true, '
        f'"note": "a note of some length", "tags": ["a", {{"b": {n}}}], "country": null, "score": {n % 97}.5, '
        f'"created_at": "2023-01-01T00:00:00Z", "updated_at": "{moment}"}}'
    )


def _pages(records: int, size: int) -> list[bytes]:
    starts = range(0, records, size)
    made = []
    for start in starts:
        items = ", ".join(map(_record, range(start, min(start + size, records))))
        following = f'"{start + size}"' if start + size < records else "null"
        made.append(f'{{"items": [{items}], "next": {following}}}'.encode())
    return made


def _serve(records: int, size: int, told: Pipe) -> None:
    pages = _pages(records, size)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            body = pages[int(parse_qs(urlsplit(self.path).query).get("at", ["0"])[0]) // size]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.send(server.server_port)
    server.serve_forever()


@contextmanager
def _api(records: int, size: int) -> Iterator[str]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(records, size, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def reading(url: str, shape: str) -> int:
    """Reads everything; returns the number of rows."""
    around = Surroundings(FilesRoot(Path("/nowhere")), (ip_network("127.0.0.0/8"),))
    context = Context(Connection("conn_1", "rest_api", {"url": url}, {}), around, {**_READ, **SHAPES[shape]}, ())
    source = RestSource(context)
    try:
        found = source.discover(max_partitions=1)
        return sum(batch.frame.height for each in found.partitions for batch in source.read(each, found.schema))
    finally:
        source.close()


def _cpu(do: Callable[[], int], expected: int) -> float:
    began = time.process_time()
    rows = do()
    took = time.process_time() - began
    if rows != expected:
        raise RuntimeError(f"{rows:,} rows where {expected:,} were expected")
    return took


def main() -> None:
    """Prints the CPU seconds of each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--page", type=int, default=100, help="records of a page")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", choices=SHAPES, help="only this one")
    args = parser.parse_args()
    shapes = [args.shape] if args.shape else list(SHAPES)
    with _api(args.records, args.page) as url:
        least = dict.fromkeys(shapes, float("inf"))
        for _ in range(args.rounds):
            for shape in shapes:
                least[shape] = min(least[shape], _cpu(partial(reading, url, shape), args.records))
    print(f"{args.records:,} records, {args.page} per page: CPU seconds of the client, least of {args.rounds} rounds")
    for shape, seconds in least.items():
        print(f"{shape:16} {seconds:6.2f} s   {1e6 * seconds / args.records:6.1f} µs per record")


if __name__ == "__main__":
    main()
