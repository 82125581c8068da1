"""A service's metrics, for Prometheus.

Message metrics have the names of FastStream's own (its documentation, "Prometheus"), with `sitecrew` in place of
`faststream`. No label ever holds an order, a domain or an address: each label value is a time series that is kept for
weeks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from foundation.errors import StoreUnreachable
from foundation.version import version

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_log = structlog.get_logger(__name__)


class Metrics:
    """The metrics of one process, in their own registry."""

    def __init__(self, service: str = "") -> None:
        self.registry = CollectorRegistry()
        self.received = self._counter("received_messages", "Deliveries taken from a queue", "queue")
        self.in_process = self._gauge("received_messages_in_process", "Deliveries in progress", "queue")
        self.processed = self._counter(
            "received_processed_messages",
            "Deliveries handled: done, duplicate (nothing changed), retry (delivered again later), parked",
            "queue",
            "status",
        )
        self.processed_seconds = self._histogram(
            "received_processed_messages_duration_seconds", "From taking a delivery to settling it", "queue"
        )
        self.published = self._counter(
            "published_messages", "Messages published from the outbox, by the broker's answer", "destination", "status"
        )
        self.published_seconds = self._histogram(
            "published_messages_duration_seconds", "From publishing a batch of the outbox to its last confirm"
        )
        self.dead_lettered = self._counter(
            "dead_lettered_messages", "Messages that the broker parked by itself", "queue", "reason"
        )
        self.log_lines_dropped = self._counter("log_lines_dropped", "Log lines that could not be written").inc
        build = self._gauge("build_info", "1, labelled with the service and its version", "service", "version")
        build.labels(service, version()).set(1)

    def tick(self) -> "Tick":
        """Create the timer's metrics; only a service with a timer has them."""
        return Tick(
            self._gauge("tick_lateness_seconds", "How late the last batch began"),
            self._gauge("next_tick_timestamp_seconds", "When the next batch begins, as Unix time"),
        )

    def on_scrape(self, name: str, meaning: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Add a gauge that `read` returns at each scrape, by label value; left out while the store is unreachable."""
        self.registry.register(_Read(f"sitecrew_{name}", meaning, label, read))

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"sitecrew_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"sitecrew_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(f"sitecrew_{name}", meaning, labels, registry=self.registry, buckets=_SECONDS)


class Tick:
    """The timer's metrics: how late it is, and when it ticks next."""

    def __init__(self, lateness: Gauge, upcoming: Gauge) -> None:
        self.lateness = lateness
        self.upcoming = upcoming


class _Read(Collector):
    """A gauge whose values come from a function, by at most one label."""

    def __init__(self, name: str, meaning: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._named = (name, meaning, label)
        self._read = read

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [self._family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            values = self._read()
        except StoreUnreachable as error:
            _log.warning("store.unreachable", reason=str(error))
            return
        family = self._family()
        for label, value in values.items():
            family.add_metric([label] if self._named[2] else [], value)
        yield family

    def _family(self) -> GaugeMetricFamily:
        name, meaning, label = self._named
        return GaugeMetricFamily(name, meaning, labels=[label] if label else [])
