"""The wiring app: system checks and the commands that start processes."""

from django.apps import AppConfig


class MailroutingConfig(AppConfig):
    name = "mailrouting"
    verbose_name = "Mail routing"
