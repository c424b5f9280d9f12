"""The metadata of messages as columns."""

from __future__ import annotations

import base64
import itertools
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from headrace.connectors.kafka.cluster import TopicPartition
from headrace.connectors.kafka.metadata import metadata_of
from headrace.connectors.kafka.reading import Group

ck = pytest.importorskip("confluent_kafka")

AT = TopicPartition("orders", 3)


def column(name: str, messages: list[dict[str, Any]]) -> list[Any]:
    made = [ck.Message(topic="orders", partition=3, offset=at, value=b"", **each) for at, each in enumerate(messages)]
    return metadata_of(name, Group(made, np.arange(len(made)), len(made)), AT).to_list()


def expected(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return base64.b64encode(key).decode()


def test_keys_are_texts_where_they_are_utf_8_and_base64_elsewhere() -> None:
    edges = b"\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff"
    keys: list[bytes | None] = [None, b"", 'äöü🙂\n"'.encode()]
    keys += [bytes(each) for length in (1, 2, 3) for each in itertools.product(edges, repeat=length)]
    keys += [bytes(each) for each in itertools.product(edges[14:], edges[2:8], edges[2:8], edges[1:9])]
    assert column("key", [{"key": key} for key in keys]) == [expected(key) for key in keys]
    texts = [key for key in keys if key is not None and base64.b64encode(key).decode() != expected(key)]
    assert column("key", [{"key": key} for key in texts]) == [key.decode() for key in texts]


def test_a_message_without_a_time_has_none() -> None:
    times = [
        {"timestamp": (kind, 1_700_000_000_123)} for kind in (ck.TIMESTAMP_NOT_AVAILABLE, ck.TIMESTAMP_CREATE_TIME)
    ]
    assert column("timestamp", times) == [None, datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)]


@pytest.mark.parametrize("name", ["key", "topic", "partition", "offset", "timestamp", "headers"])
def test_no_messages_are_no_values(name: str) -> None:
    assert column(name, []) == []
