"""Runs of a source of records that have an `id`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headrace.connectors.kinesis.source import KinesisSource
from headrace.ir.schema import Field
from tests.connectors.reading import batches, frame

ID = (Field("id", "integer"),)


def run(source: KinesisSource, cursors: Mapping[str, Any], **how: Any) -> tuple[list[int], dict[str, Any]]:
    """The keys that a run reads, and the cursors after it."""
    source.begin_at(cursors)
    found = source.discover(max_partitions=1)
    keys, after = [], dict(cursors)
    for partition in found.partitions:
        read = batches(source, found, partition, **how)
        keys += frame(read)["id"].to_list()
        after[str(partition.cursor)] = json.loads(json.dumps(read[-1].position))
    return keys, after


def of_id(*numbers: int) -> list[bytes]:
    return [b'{"id": %d}' % number for number in numbers]
