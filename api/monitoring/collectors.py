"""Prometheus metrics: requests of this process, runs and rows from the catalog, the audit logs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from headrace.catalog.runs.metrics import RunMetrics, read_run_metrics
from headrace.catalog.runs.streams import StreamLag, StreamStore
from headrace.deployments.sync.audit_sealer import AuditSealer

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CACHE_S = 2.0
"""Seconds for which catalog metrics are cached, as their query costs more than a scrape."""

_log = structlog.get_logger("headrace.api")


class RequestMetrics:
    """Counters of this process, and the registry that a scrape reads."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self._requests = Counter("headrace_http_requests", "Requests answered", labels, registry=self.registry)
        self._seconds = Histogram(
            "headrace_http_request_seconds",
            "Seconds from a request's first byte to its answer's last",
            labels[:2],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._tests = Counter(
            "headrace_connection_tests",
            "Connections tried, by type of connector and result",
            ["type", "result"],
            registry=self.registry,
        )
        self._refusals = Counter(
            "headrace_refusals",
            "Connections and requests that a limit ended or refused, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.registry.register(CatalogCollector(engine))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    async def exposed(self) -> bytes:
        """All metrics as text, rendered in a dedicated thread, so that it needs none of the request threads."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, generate_latest, self.registry)

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts a completed request under its route's template: ids must not become label values."""
        template = getattr(scope.get("route"), "path", None)
        route = "unmatched"
        if template is not None:  # the template lacks the prefix with which its router was included
            route = scope["path"].partition(template.partition("{")[0])[0] + template
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def refused(self, reason: str) -> None:
        """Counts a refusal by a limit; `reason` is one of a fixed set of words."""
        self._refusals.labels(reason).inc()

    def tested(self, kind: str, *, ok: bool) -> None:
        """Counts a connection test; `kind` is a connector type."""
        self._tests.labels(kind, "ok" if ok else "failed").inc()


class CatalogCollector(Collector):
    """Metrics read from the catalog on a scrape, at most every two seconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._read: RunMetrics | None = None
        self._lags: list[StreamLag] = []
        self._streams = StreamStore(engine)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not query the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The metric families; only `headrace_catalog_up` 0 while the database is unreachable."""
        found = self._look()
        yield GaugeMetricFamily(
            "headrace_catalog_up", "Whether the catalog can be read", value=float(found is not None)
        )
        if found is not None:
            yield from _families(found)
            yield _lags(self._lags)

    def _look(self) -> RunMetrics | None:
        with self._lock:
            if time.monotonic() - self._read_at >= _CACHE_S:
                try:
                    self._read = read_run_metrics(self._engine)
                    self._lags = self._streams.lags()
                except SQLAlchemyError as error:
                    _log.warning("catalog metrics unavailable", kind=type(error).__name__)
                    self._read = None
                self._read_at = time.monotonic()
            return self._read


def _lags(lags: Iterable[StreamLag]) -> Metric:
    found = GaugeMetricFamily(
        "headrace_source_lag_seconds",
        "How old what a running stream has not committed of a source can be at most",
        labels=["pipeline", "source"],
    )
    for lag in lags:
        if lag.seconds is not None:
            found.add_metric([lag.pipeline_id, lag.source], lag.seconds)
    return found


def _families(found: RunMetrics) -> Iterable[Metric]:
    ended = CounterMetricFamily("headrace_runs", "Runs that ended, by status", labels=["status"])
    for status in ("completed", "completed_with_errors", "failed", "skipped"):
        ended.add_metric([status], found.ended.get(status, 0))
    yield ended
    unfinished = GaugeMetricFamily("headrace_runs_unfinished", "Runs pending or running now", labels=["status"])
    for status, count in found.unfinished.items():
        unfinished.add_metric([status], count)
    yield unfinished
    rows = CounterMetricFamily("headrace_rows", "Rows read, loaded, failed and skipped", labels=["outcome"])
    for outcome, count in (
        ("in", found.rows.read),
        ("out", found.rows.loaded),
        ("failed", found.rows.failed),
        ("skipped", found.rows.skipped),
    ):
        rows.add_metric([outcome], count)
    yield rows
    yield GaugeMetricFamily(
        "headrace_queue_lag_seconds", "How long the oldest pending run has waited", value=found.waiting_s
    )
    yield CounterMetricFamily("headrace_queue_wait_seconds", "What all ended runs had waited", value=found.waited_s)
    yield HistogramMetricFamily(
        "headrace_partition_seconds", "Seconds per partition", buckets=_cumulative(found), sum_value=found.partition_s
    )


def _cumulative(found: RunMetrics) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    count = 0
    for up_to, partitions in found.buckets:
        count += partitions
        buckets.append(("+Inf" if up_to == float("inf") else f"{up_to:g}", count))
    return buckets


class AuditCollector(Collector):
    """The state at the last step of the sealer in this process."""

    def __init__(self, sealer: AuditSealer) -> None:
        self._sealer = sealer

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The metric families."""
        found = self._sealer.state
        yield GaugeMetricFamily("headrace_audit_sealed_entries", "Entries of audit logs, sealed", value=found.sealed)
        yield GaugeMetricFamily("headrace_audit_broken", "Tenants with a broken audit log", value=len(found.broken))
