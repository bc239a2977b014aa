"""Forewarning: what a domain's owners are told before DNS trouble degrades it."""

from django.db import models

from tenants.models.domain import Domain, DomainCheck
from tenants.models.fields import Ruled
from tenants.models.history import tracked
from tenants.querysets import ForewarningQuerySet


@tracked
class Forewarning(Ruled):
    """A forewarning says which record of a domain is missing, what is expected and by when; its
    owners get it once for each time that the record goes missing.
    """

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="forewarnings")
    kind = models.CharField("record", max_length=16, choices=DomainCheck.Kind)
    missing_since = models.DateTimeField()
    expected = models.TextField()
    found = models.TextField(blank=True)
    degrades_at = models.DateTimeField("to be published by")
    created_at = models.DateTimeField()
    told_at = models.DateTimeField("owners were told at", null=True, blank=True)

    objects = ForewarningQuerySet.as_manager()
    tenant_path = "domain__tenant"

    class Meta:
        ordering = ("-id",)
        verbose_name = "notice to owners"
        verbose_name_plural = "notices to owners"
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "kind", "missing_since"],
                name="forewarning_once",
                violation_error_message="The owners were told of this already.",
                violation_error_code="domain",
            )
        ]
        indexes = [
            models.Index(
                fields=["domain"], condition=models.Q(told_at=None), name="forewarning_to_tell"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.domain}"

    def get_absolute_url(self) -> str:
        return self.domain.get_absolute_url()
