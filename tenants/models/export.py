"""Export: that somebody took rows out as a file."""

from django.conf import settings
from django.db import models
from django.urls import reverse

from tenants.models.tenant import Tenant
from tenants.querysets import TenantQuerySet


class Export(models.Model):
    """A file of rows that somebody took out: who, what of it, how many rows.

    `rows` counts what was handed over so far; without an end, the file was not taken whole.
    Written by tenants/imports/exporting.py alone.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="taken by",
    )
    actor_name = models.CharField("taken by", max_length=150)
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Whose rows were asked for, where that is one tenant.",
    )
    surface = models.CharField(max_length=16)
    client = models.CharField(max_length=64, blank=True)
    what = models.CharField(max_length=500, help_text="Kinds of row and the filter over them.")
    written = models.CharField("format", max_length=16)
    rows = models.PositiveBigIntegerField(default=0)
    at = models.DateTimeField("begun", auto_now_add=True)
    ended_at = models.DateTimeField("ended", null=True, blank=True)

    objects = TenantQuerySet.as_manager()
    tenant_path = ""

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.what} as {self.written}"

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_export_change", args=[self.pk])
