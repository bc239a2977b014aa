"""The control plane: what should happen to mail, and who said so."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Routing"
