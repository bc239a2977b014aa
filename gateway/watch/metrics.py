"""Open alarms for Prometheus, counted in the database when asked."""

from collections.abc import Iterator

from django.db import Error, connection
from django.db.models import Count
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.watch.facts import Kind, Severity
from gateway.watch.models import Alarm


class AlarmCollector(Collector):
    """Open alarms by kind and severity, snoozed ones too; nothing without a database."""

    def describe(self) -> list[Metric]:
        return []  # registering does not open the database

    def collect(self) -> Iterator[Metric]:
        was_open = connection.connection is not None
        rows = Alarm.objects.open().order_by().values_list("kind", "severity")
        try:
            counts = {(kind, severity): n for kind, severity, n in rows.annotate(Count("pk"))}
        except Error:
            return
        finally:
            if not was_open:
                connection.close()
        gauge = GaugeMetricFamily(
            "mailrouting_alarms", "Alarms that are open.", labels=["kind", "severity"]
        )
        for kind in Kind:
            for severity in Severity:
                labels = [kind.value, severity.name.lower()]
                gauge.add_metric(labels, counts.get((kind.value, int(severity)), 0))
        yield gauge


REGISTRY.register(AlarmCollector())
