"""A cluster: its topics, their offsets, and consumers. Clients connect to checked addresses only (`dialling`)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.kafka.dialling import Dialling
from headrace.connectors.kafka.errors import failed
from headrace.connectors.kafka.login import Access

ASK_SECONDS = 15.0
"""Seconds that a request to the cluster may take."""

IDS_SECONDS = 5.0
"""Seconds to wait for the ids of topics, which not every cluster reports."""
CHECK_CRCS = True
"""Whether checksums of messages are verified."""

_TURN_S = 2.0
_HEARD = 20
_QUIET = logging.Logger("headrace.kafka", logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True, order=True)
class TopicPartition:
    """One partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Cluster:
    """One connection's clients. Raises SourceError."""

    def __init__(self, access: Access, *, seconds: float = ASK_SECONDS) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        self._access, self._seconds = access, seconds
        self._heard: deque[Any] = deque(maxlen=_HEARD)
        self._problem = KafkaException
        self._tells_ids = True
        self.brokers = 0
        """The number of brokers in the metadata."""
        self._options = access.options()
        try:
            self._admin = AdminClient({**self._options, **self._ears(self._heard)}, logger=_QUIET)
            self._dialling = access.watched(self._admin)
        except (KafkaException, ValueError) as error:
            raise self._bad_option(error) from None

    def topics(self) -> Mapping[str, int]:
        """The partitions of every visible topic, without internal topics."""
        found = self._listed()
        for broker in found.brokers.values():  # reported at once, not only when one of them is connected to
            self._access.checked(str(broker.host), broker.port)
        self.brokers = len(found.brokers)
        return {
            name: len(topic.partitions)
            for name, topic in found.topics.items()
            if not name.startswith("__") and topic.error is None
        }

    def _listed(self) -> Any:
        """The cluster's metadata. The client retries a refused login forever, so it is polled in short intervals and a
        refusal is raised at once."""
        begun = monotonic()
        while True:
            try:
                return self._admin.list_topics(timeout=min(_TURN_S, self._seconds))
            except self._problem as error:
                failure = self._failed(error.args[0], "The list of topics")
                refused = failure.code in ("bad_credentials", "address_refused")
                refused |= any(each.name() == "_SSL" for each in [*self._heard])
                if refused or monotonic() - begun >= self._seconds:
                    raise failure from None

    def ids(self, topics: Sequence[str]) -> Mapping[str, str]:
        """The id of each topic, from clusters that report ids."""
        from confluent_kafka import TopicCollection

        found: dict[str, str] = {}
        if topics and self._tells_ids:
            self._tells_ids = False
            with suppress(self._problem, ValueError):
                asked = self._admin.describe_topics(TopicCollection([*topics]), request_timeout=IDS_SECONDS)
                for name, answer in asked.items():
                    found[name] = str(answer.result().topic_id)
                self._tells_ids = True
        return found

    def earliest(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The first available offset of each partition."""
        return self._offsets(partitions, -2, committed=False)

    def latest(self, partitions: Sequence[TopicPartition], *, committed: bool) -> Mapping[TopicPartition, int]:
        """The offset after the last message of each partition; with `committed`, the last stable offset."""
        return self._offsets(partitions, -1, committed=committed)

    def since(self, partitions: Sequence[TopicPartition], ms: int) -> Mapping[TopicPartition, int]:
        """The offset of the first message from a time on (ms since 1970); -1 if there is none."""
        return self._offsets(partitions, ms, committed=False)

    def consumer(self, *, committed: bool) -> Reader:
        """A client that reads one partition; the caller closes it."""
        from confluent_kafka import Consumer

        heard: deque[Any] = deque(maxlen=_HEARD)
        options = {
            **self._options,
            **self._ears(heard),
            "group.id": "headrace",  # required by the client; no offset is committed
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "topic.metadata.refresh.interval.ms": -1,
            "queued.max.messages.kbytes": 32 << 10,
            "queued.min.messages": 50_000,
            "fetch.message.max.bytes": 8 << 20,
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 10,  # 1000 by default: after each 50,000 messages nothing came for a second
            "check.crcs": CHECK_CRCS,
        }
        try:
            consumer = Consumer(options, logger=_QUIET)
            return Reader(consumer, heard, self._access, self._access.watched(consumer))
        except (self._problem, ValueError) as error:
            raise self._bad_option(error) from None

    def _offsets(
        self, partitions: Sequence[TopicPartition], when: int, *, committed: bool
    ) -> Mapping[TopicPartition, int]:
        """The offset for a time: that of the first message from then on (ms since 1970), or -1: after the last, -2: the
        first."""
        import confluent_kafka as ck
        import confluent_kafka.admin as asking

        specs: Any = vars(asking)["OffsetSpec"]  # present in the module, but not exported by name
        spec = {-1: specs.latest, -2: specs.earliest}[when]() if when < 0 else specs.for_timestamp(when)
        if not partitions:
            return {}
        level = ck.IsolationLevel.READ_COMMITTED if committed else ck.IsolationLevel.READ_UNCOMMITTED
        asked = self._admin.list_offsets(
            {ck.TopicPartition(each.topic, each.partition): spec for each in partitions},
            isolation_level=level,
            request_timeout=self._seconds,
        )
        found = {}
        for place, answer in asked.items():
            each = TopicPartition(place.topic, place.partition)
            try:
                found[each] = int(answer.result().offset)
            except self._problem as error:
                raise self._failed(error.args[0], f"The offsets of {each}") from None
        return found

    def _failed(self, error: Any, what: str) -> SourceError:
        self._admin.poll(0)
        return self._dialling.refusal() or failed(error, what, self._access.secrets, [*self._heard])

    def _ears(self, heard: deque[Any]) -> dict[str, Any]:
        return {"error_cb": heard.append}

    def _bad_option(self, error: Exception) -> SourceError:
        import confluent_kafka as ck

        first = error.args[0] if error.args else None
        if isinstance(first, ck.KafkaError):
            failure = failed(first, "The client", self._access.secrets)
            return SourceError("connection_failed", failure.message, "Check the PEM texts and config.saslMechanism.")
        return SourceError("bad_option", "The client does not take the connector's config.", "Check its settings.")


class Reader:
    """A consumer of one partition."""

    def __init__(self, consumer: Any, heard: deque[Any], access: Access, dialling: Dialling) -> None:
        self._consumer, self._heard, self._access, self._dialling = consumer, heard, access, dialling

    def begin(self, at: TopicPartition, offset: int) -> None:
        """Continues reading from an offset. Raises SourceError."""
        import confluent_kafka as ck

        if code := self._dialling.assign(at.topic, at.partition, offset):
            raise self.failure(ck.KafkaError(code), f"Reading {at}")

    def some(self, most: int, seconds: float) -> list[Any]:
        """At most `count` messages and events, as soon as they are there or the time is over."""
        return self._consumer.consume(most, timeout=seconds)  # type: ignore[no-any-return]

    def failure(self, error: Any, what: str) -> SourceError:
        """The error for a KafkaError."""
        return self._dialling.refusal() or failed(error, what, self._access.secrets, [*self._heard])

    @property
    def refused(self) -> SourceError | None:
        """The error for a broker at an address that may not be dialled."""
        return self._dialling.refusal()

    def silent(self, what: str, seconds: float) -> SourceError:
        """The error for a broker that does not answer."""
        if self._heard:
            return self.failure(self._heard[-1], what)
        return SourceError(
            "connection_lost",
            f"{what}: its broker gave nothing for {seconds:.0f} s.",
            "Retry the run; check the brokers.",
        )

    def close(self) -> None:
        """Closes the client."""
        self._consumer.close()
