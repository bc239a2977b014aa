"""The app that watches the other two."""

from django.apps import AppConfig


class WatchConfig(AppConfig):
    name = "gateway.watch"
    label = "watch"
    verbose_name = "Watching"
