"""Source: an installation of another product that a tenant moves in from, as it was read once."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.urls import reverse

from tenants.models.fields import Ruled
from tenants.models.history import tracked_in
from tenants.models.mailbox import NextHop
from tenants.models.tenant import Tenant
from tenants.querysets import TenantQuerySet


@tracked_in("tenant", "product", "name", "next_hop", "domains")
class Source(Ruled):
    """A source is what another product's tables said when they were read: it is moved in from, and
    asked by shadow mode. Passwords and quotas are never read.
    """

    class Product(models.TextChoices):
        POSTFIXADMIN = "postfixadmin", "PostfixAdmin"
        MAILCOW = "mailcow", "mailcow"
        MODOBOA = "modoboa", "Modoboa"
        MAPS = "maps", "Postfix maps"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    product = models.CharField(max_length=16, choices=Product)
    name = models.CharField("read from", max_length=200)
    next_hop = models.ForeignKey(
        NextHop,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="The server that holds the mailboxes; a domain may name one of its own.",
    )
    domains = ArrayField(
        models.CharField(max_length=255),
        default=list,
        blank=True,
        help_text="What is about these domains alone; empty takes all of them.",
    )
    counts = models.JSONField(default=dict, editable=False)
    inventory = models.BinaryField(editable=False)
    read_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()
    tenant_path = "tenant"

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.get_product_display()} ({self.name})"

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_source_change", args=[self.pk])
