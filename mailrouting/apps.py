"""The wiring app: system checks and the commands that start processes."""

from django.apps import AppConfig
from django.core.checks import register

from mailrouting.checks import refuse_try_out, tell_durability


class MailroutingConfig(AppConfig):
    name = "mailrouting"
    verbose_name = "Mail routing"

    def ready(self) -> None:
        # `shared_task` of the apps finds its broker only once the Celery app exists.
        from mailrouting import celery  # noqa: F401

        register(refuse_try_out, deploy=True)
        register(tell_durability, deploy=True)
