"""Small requests that want all memory, all threads or all time: each has an end, and nobody else notices.

The facade is a process of its own, as it is served; its memory is measured while it is attacked.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from headrace.deployments.stack.database.server import EmbeddedPostgres
from tests.bombs import write_bomb
from tests.security.facade_process import BASE, FacadeProcess, facade_process

pytestmark = pytest.mark.postgres

MB = 1024**2
AMOUNT = [{"name": "amount", "dataType": "integer"}]
SOURCE = {
    "id": "src",
    "kind": "source",
    "connector": "local_fs",
    "config": {"path": "orders.csv"},
    "fields": AMOUNT,
}
TEST_SECONDS = 4


@pytest.fixture(scope="module")
def facade(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacadeProcess]:
    settings = {
        "outside_memory_limit": "300MB",
        "outside_work": "6",
        "outside_work_per_tenant": "4",
        "connector_test_timeout_s": str(TEST_SECONDS),
        "connector_networks": '["127.0.0.0/8"]',
    }
    with facade_process(postgres_server, tmp_path_factory.mktemp("attacked"), **settings) as running:
        (running.files / "orders.csv").write_text("amount\n" + "\n".join(map(str, range(500))) + "\n")
        yield running


@contextmanager
def unmoved(facade: FacadeProcess) -> Iterator[None]:
    """The facade's own memory stays what it was, and no child takes more than its limit and what it was born with."""
    facade.client.get(f"{BASE}/pipelines")
    before = facade.process.memory_info().rss
    peaks, stop = [0, 0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peaks[0] = max(peaks[0], facade.process.memory_info().rss)
            for child in facade.children():
                try:
                    peaks[1] = max(peaks[1], child.memory_info().rss)
                except psutil.Error:
                    continue

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        stop.set()
        watching.join()
    assert peaks[0] - before < 100 * MB
    assert peaks[1] < (300 + 256 + 350) * MB


def refused(response: httpx.Response, code: str, node: str) -> None:
    error = response.json()["error"]
    assert response.status_code == 422, error
    [detail] = error["details"]
    assert detail["code"] == code
    assert detail["path"] == f"nodes.{node}"
    assert f"'{node}'" in error["message"]
    assert "300 MB" in error["message"]
    assert detail["hint"]


@pytest.mark.slow
def test_joins_that_multiply_the_rows_of_a_preview_end(facade: FacadeProcess) -> None:
    def join(name: str, left: str) -> dict[str, Any]:
        on = [{"left": "same", "right": "same"}]
        return {"id": name, "kind": "join", "inputs": [left, "same"], "type": "inner", "on": on, "suffix": f"_{name}"}

    same = {"field": "same", "type": "add_field", "expression": "1"}
    nodes = [
        SOURCE,
        {"id": "same", "kind": "transform", "input": "src", "ops": [same]},
        join("squared", "same"),
        join("cubed", "squared"),
        {"id": "tgt", "kind": "target", "input": "cubed", "schema": "public.ds_joins"},
    ]
    path = facade.pipeline("joins", AMOUNT, nodes)
    with unmoved(facade):
        response = facade.client.post(f"{path}/preview", json={"limit": 500})
    refused(response, "needs_too_much_memory", "cubed")


def test_a_query_that_multiplies_rows_ends(facade: FacadeProcess) -> None:
    query = "SELECT i.amount FROM input i CROSS JOIN input j CROSS JOIN input k CROSS JOIN input l"
    nodes = [
        SOURCE,
        {"id": "query", "kind": "transform", "input": "src", "ops": [{"type": "sql", "query": query}]},
        {"id": "tgt", "kind": "target", "input": "query", "schema": "public.ds_crossed"},
    ]
    path = facade.pipeline("crossed", AMOUNT, nodes)
    with unmoved(facade):
        response = facade.client.post(f"{path}/preview", json={"limit": 500})
    assert response.status_code == 422, response.text  # the engine may refuse before the process has to be ended


@pytest.mark.slow
def test_a_small_parquet_file_that_unpacks_to_gigabytes_ends(facade: FacadeProcess) -> None:
    write_bomb(facade.files / "bomb.parquet", "amount", "text", rows=190)
    nodes = [
        {
            "id": "bomb",
            "kind": "source",
            "connector": "local_fs",
            "config": {"path": "bomb.parquet", "format": "parquet"},
        },
        {
            "id": "loud",
            "kind": "transform",
            "input": "bomb",
            "ops": [{"type": "add_field", "field": "loud", "expression": "UPPER(text)"}],
        },
        {"id": "tgt", "kind": "target", "input": "loud", "schema": "public.ds_bomb"},
    ]
    path = facade.pipeline("bomb", AMOUNT, nodes)
    with unmoved(facade):
        response = facade.client.post(f"{path}/preview", json={})
    refused(response, "needs_too_much_memory", "bomb")


def test_a_line_of_a_gigabyte_ends(facade: FacadeProcess) -> None:
    with (facade.files / "line.csv").open("wb") as file:
        file.write(b"amount\n")
        file.truncate(1024 * MB)
    source = SOURCE | {"config": {"path": "line.csv"}}
    path = facade.pipeline(
        "line", AMOUNT, [source, {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_line"}]
    )
    with unmoved(facade):
        error = facade.client.post(f"{path}/preview", json={}).json()["error"]
    assert error["details"][0]["code"] in ("record_too_large", "needs_too_much_memory")
    (facade.files / "line.csv").unlink()


HUGE = {
    "a million lists": ("/ir/validate", "[" + "[]," * 1_300_000 + "[]]", "too_many_values"),
    "a number of millions of digits": ("/ir/validate", '{"a":' + "9" * 3_900_000 + "}", ""),
    "a number beyond floats": ("/ir/validate", '{"a":1e400}', "unstorable_number"),
    "brackets without end": ("/ir/validate", "[" * 3_900_000, ""),
    "a hundred thousand unknown fields": (
        "/schemas",
        json.dumps({"name": "w", "displayName": "w"} | {f"z{number}": 1 for number in range(190_000)}),
        "too_many_fields",
    ),
    "a hundred thousand settings": (
        "/connectors",
        json.dumps({"name": "c", "type": "local_fs", "config": {f"k{number}": 1 for number in range(100_000)}}),
        "too_long",
    ),
    "a hundred thousand faults": (
        "/schemas",
        json.dumps({"name": "w", "displayName": "w", "fields": [7] * 100_000}),
        "",
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_body_that_is_small_to_send_and_large_to_look_at_is_refused(facade: FacadeProcess, name: str) -> None:
    path, body, code = HUGE[name]
    response = facade.client.post(BASE + path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text[:500]
    details = response.json()["error"]["details"]
    assert len(response.content) < 200_000
    assert len(details) <= 200
    assert not code or details[0]["code"] == code


@pytest.mark.parametrize("number", ["1e999999999", "1e1000000", "9" * 4000, "1e-999999999", "inf", "nan"])
@pytest.mark.parametrize("rule", ["gt:{}", "between:1,{}", "eq:{}", "in:1,{}", "min_length:{}"])
def test_a_number_of_a_rule_is_never_written_out(facade: FacadeProcess, rule: str, number: str) -> None:
    field = {"name": "amount", "dataType": "text" if "length" in rule else "decimal"}
    nodes = [
        SOURCE | {"fields": [field]},
        {
            "id": "check",
            "kind": "validate",
            "input": "src",
            "rowLevel": [{"id": "r", "field": "amount", "rule": rule.format(number)}],
        },
        {"id": "tgt", "kind": "target", "input": "check", "schema": "public.ds_rules"},
    ]
    ir = {"kind": "pipeline", "version": "1.0", "id": "rules", "metadata": {"name": "rules"}, "nodes": nodes}
    with unmoved(facade):
        response = facade.client.post(f"{BASE}/ir/validate", json=ir)
    assert response.status_code == 200, response.text


SCHEDULES = [
    {"kind": "cron", "expression": "0 0 30 2 *"},
    {"kind": "cron", "expression": ",".join(map(str, range(60))) * 1000 + " * * * *"},
    {"kind": "interval", "minutes": 10**30},
    *(
        {"kind": "rrule", "rrule": rule}
        for rule in (
            "FREQ=SECONDLY",
            "FREQ=DAILY;COUNT=" + "9" * 5000,
            "FREQ=DAILY;COUNT=1000000000",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=DAILY;INTERVAL=999999999",
            "DTSTART:00010101T000000\nRRULE:FREQ=MINUTELY;INTERVAL=7",
            "FREQ=WEEKLY;BYDAY=" + ",".join(["MO"] * 100_000),
        )
    ),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: str(schedule)[:60])
def test_a_schedule_that_never_fires_or_all_the_time_is_refused(
    facade: FacadeProcess, schedule: dict[str, Any]
) -> None:
    nodes = [SOURCE, {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_rules"}]
    ir = {"kind": "pipeline", "version": "1.0", "id": "rules", "metadata": {"name": "rules"}, "nodes": nodes}
    answer = facade.client.post(f"{BASE}/ir/validate", json=ir | {"schedule": schedule}).json()
    assert answer["valid"] is False
    assert any("schedule" in issue["path"] for issue in answer["issues"])


Behaviour = Callable[[socket.socket], None]


def silent(connection: socket.socket) -> None:
    while connection.recv(1024):
        pass


def dripping(connection: socket.socket) -> None:
    """PostgreSQL's refusal of TLS, and then a notice of a gigabyte, a byte at a time."""
    connection.recv(1024)
    connection.sendall(b"N")
    connection.recv(1024)
    connection.sendall(b"N\x3f\xff\xff\xff")
    while True:
        connection.sendall(b"S")
        time.sleep(0.05)


def chattering(connection: socket.socket) -> None:
    connection.recv(1024)
    while True:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 1000)


@contextmanager
def server(behaviour: Behaviour) -> Iterator[int]:
    """Accepts everybody, and then behaves so; returns its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:

        def attend(connection: socket.socket) -> None:
            with connection:
                try:
                    behaviour(connection)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=attend, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def try_postgresql(client: httpx.Client, port: int) -> httpx.Response:
    config = {"host": "127.0.0.1", "port": port, "database": "shop", "sslmode": "prefer"}
    body = {"type": "postgresql", "config": config, "authConfig": {"username": "reader", "password": "hunter2"}}
    return client.post(f"{BASE}/connectors/test", json=body)


@pytest.mark.parametrize("behaviour", [silent, dripping, chattering])
def test_a_server_that_never_comes_to_an_end_is_given_up(facade: FacadeProcess, behaviour: Behaviour) -> None:
    with server(behaviour) as port, unmoved(facade):
        began = time.monotonic()
        response = try_postgresql(facade.client, port)
        took = time.monotonic() - began
    assert response.status_code == 200, response.text
    assert response.json()["ok"] is False
    assert response.json()["message"]
    assert took < 60  # it was minutes for each address
    until_no_child_works(facade)


def test_connection_tests_that_hang_disturb_nobody(facade: FacadeProcess) -> None:
    many = 45
    with server(silent) as port, ThreadPoolExecutor(many) as attackers, unmoved(facade):
        hanging = [attackers.submit(try_postgresql, facade.client, port) for _ in range(many)]
        time.sleep(0.5)
        answered = 0
        while not all(each.done() for each in hanging):
            assert facade.other.get(f"{BASE}/pipelines").status_code == 200
            if any(not each.done() for each in hanging):
                answered += 1  # while others hang
            # another tenant has its own places
        answers = [each.result() for each in hanging]
    assert answered > 10
    by_status = {status: [each for each in answers if each.status_code == status] for status in (200, 429)}
    assert len(by_status[200]) + len(by_status[429]) == many
    assert len(by_status[200]) >= 4
    assert all(each.json()["ok"] is False for each in by_status[200])
    assert by_status[429], "more than the tenant's places were asked for"
    for each in by_status[429]:
        assert int(each.headers["Retry-After"]) > 0
        assert "HEADRACE_OUTSIDE_WORK_PER_TENANT" in each.json()["error"]["message"]


def test_one_tenant_leaves_places_for_another(facade: FacadeProcess) -> None:
    with server(silent) as port, ThreadPoolExecutor(4) as attackers:
        hanging = [attackers.submit(try_postgresql, facade.client, port) for _ in range(4)]
        time.sleep(0.5)
        response = facade.other.post(f"{BASE}/connectors/test", json={"type": "local_fs", "config": {}})
        assert response.json()["ok"] is True
        assert not all(each.done() for each in hanging)


def test_who_hangs_up_has_nothing_done_for_them(facade: FacadeProcess) -> None:
    address = urlsplit(facade.url)
    config = {"host": "127.0.0.1", "database": "shop", "sslmode": "prefer"}
    with server(silent) as port:
        body = json.dumps(
            {
                "type": "postgresql",
                "config": config | {"port": port},
                "authConfig": {"username": "reader", "password": "hunter2"},
            }
        ).encode()
        head = (
            f"POST {BASE}/connectors/test HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
            f"X-API-Key: {facade.client.headers['X-API-Key']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        began = time.monotonic()
        with socket.create_connection((str(address.hostname), int(address.port or 80))) as request:
            request.sendall(head.encode() + body)
            while not facade.children():
                assert time.monotonic() - began < 30
                time.sleep(0.02)
            [child] = facade.children()
        until_no_child_works(facade)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_children_do_not_outlive_the_facade(postgres_server: EmbeddedPostgres, tmp_path: Path) -> None:
    settings = {"connector_networks": '["127.0.0.0/8"]', "connector_test_timeout_s": "200"}
    with (
        facade_process(postgres_server, tmp_path, **settings) as facade,
        server(silent) as port,
        ThreadPoolExecutor(1) as attacker,
    ):
        hanging = attacker.submit(try_postgresql, facade.client, port)
        until = time.monotonic() + 60
        while not facade.children():
            assert time.monotonic() < until
            time.sleep(0.02)
        family = facade.process.children(recursive=True)
        facade.process.kill()
        with pytest.raises(httpx.TransportError):
            hanging.result(60)
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def until_no_child_works(facade: FacadeProcess) -> None:
    until = time.monotonic() + 30
    while facade.children():
        assert time.monotonic() < until
        time.sleep(0.02)
