"""What delivering shows to Prometheus: outcomes, durations, and the queue as it stands."""

from collections.abc import Iterator

from django.db import Error, connection
from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

DELIVERIES = Counter(
    "mailrouting_deliveries_total", "Tries to deliver, by outcome.", ["kind", "outcome"]
)
ATTEMPT_SECONDS = Histogram(
    "mailrouting_delivery_seconds",
    "Time of one try to deliver.",
    ["kind"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30, 120, 300),
)
DELAY_SECONDS = Histogram(
    "mailrouting_delivery_delay_seconds",
    "Time from acceptance to delivery.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 86400),
)
OPEN_STATES = ("pending", "deferred", "sending", "held", "quarantined")
# One branch a state: each has an index of its own, in which no settled delivery stands.
_COUNT = " UNION ALL ".join(
    f"SELECT '{state}', count(*) FROM gateway_delivery WHERE state = '{state}'"  # noqa: S608
    for state in OPEN_STATES
)

_COUNT_OUTAGES = "SELECT count(*) FROM gateway_outage WHERE until > now() - interval '10 minutes'"


class QueueCollector(Collector):
    """Deliveries by state and hops that are out, counted when asked; nothing without a database."""

    def describe(self) -> list[Metric]:
        return []  # registering does not open the database

    def collect(self) -> Iterator[Metric]:
        was_open = connection.connection is not None
        try:
            with connection.cursor() as cursor:
                cursor.execute(_COUNT)
                counts = dict(cursor.fetchall())
                cursor.execute(_COUNT_OUTAGES)
                [(outages,)] = cursor.fetchall()
        except Error:
            return
        finally:
            if not was_open:
                connection.close()
        queue = GaugeMetricFamily(
            "mailrouting_queue", "Deliveries that are not settled.", labels=["state"]
        )
        for state in OPEN_STATES:
            queue.add_metric([state], counts.get(state, 0))
        yield queue
        yield GaugeMetricFamily(
            "mailrouting_outages", "Next hops that cannot be reached.", value=outages
        )


REGISTRY.register(QueueCollector())
