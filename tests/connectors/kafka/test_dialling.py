"""The check of addresses runs in the client's threads, and neither stops the client nor outlives what it needs."""

from __future__ import annotations

import gc
import subprocess
import sys
import time

import pytest

from headrace.connectors.kafka.cluster import Cluster, TopicPartition
from headrace.connectors.kafka.login import access
from tests.connectors.kafka.brokers import Topics, mock_cluster

_SECONDS = 60


def read_on_while_brokers_connect() -> None:
    """In a process of its own, which ends with an error if it stands still."""
    import faulthandler

    from headrace.connectors.kafka import dialling

    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    allowed = dialling.is_allowed

    def slowly(*given: object) -> bool:
        time.sleep(0.03)
        return allowed(*given)  # type: ignore[arg-type]

    dialling.is_allowed = slowly  # type: ignore[assignment]
    with mock_cluster() as servers:
        cluster = Cluster(access(Topics(servers, single=False).context({"topic": "t"})))
        for _ in range(4):
            reader = cluster.consumer(committed=True)
            for _ in range(12):
                reader.begin(TopicPartition("t", 0), 0)
                time.sleep(0.013)
            reader.close()
            clients = [cluster.consumer(committed=False), Cluster(cluster._access)]
            time.sleep(0.01)
            clients.clear()  # destroyed while their brokers are checked


def test_a_reader_goes_on_while_its_brokers_are_checked() -> None:
    """`Consumer.assign` would wait for a thread that waits for Python's lock, which it holds: for ever."""
    command = [sys.executable, "-m", "tests.connectors.kafka.test_dialling"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * _SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_closed_reader_begins_nothing() -> None:
    with mock_cluster() as servers:
        reader = Cluster(access(Topics(servers, single=False).context({"topic": "t"}))).consumer(committed=True)
        reader.close()
        with pytest.raises(RuntimeError, match="closed"):
            reader.begin(TopicPartition("t", 0), 0)


def test_a_client_that_outlives_its_rules_connects_to_nothing() -> None:
    with mock_cluster() as servers:
        cluster = Cluster(access(Topics(servers, single=False).context({"topic": "t"})))
        client = cluster._admin
        del cluster
        gc.collect()
        refused = None
        try:
            client.list_topics(timeout=2)
        except Exception as error:  # noqa: BLE001 - the client's own type of error
            refused = error
        assert "_TRANSPORT" in str(refused) or "_TIMED_OUT" in str(refused), refused


def test_rules_go_with_their_client() -> None:
    from headrace.connectors.kafka.dialling import _rules

    with mock_cluster() as servers:
        given = access(Topics(servers, single=False).context({"topic": "t"}))
        before = len(_rules)
        cluster = Cluster(given)
        assert len(_rules) == before + 1
        del cluster
        gc.collect()
        assert len(_rules) == before


if __name__ == "__main__":
    read_on_while_brokers_connect()
