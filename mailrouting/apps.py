"""The wiring app: system checks and the commands that start processes."""

from django.apps import AppConfig


class MailroutingConfig(AppConfig):
    name = "mailrouting"
    verbose_name = "Mail routing"

    def ready(self) -> None:
        # `shared_task` of the apps finds its broker only once the Celery app exists.
        from mailrouting import celery  # noqa: F401
