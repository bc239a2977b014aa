"""The app that watches the other two."""

from django.apps import AppConfig


class WatchConfig(AppConfig):
    name = "watch"
    verbose_name = "Watching"

    def ready(self) -> None:
        from watch import metrics  # noqa: F401 - registers its collector
