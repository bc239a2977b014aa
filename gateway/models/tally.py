"""What is counted and noted beside mail: limits, refusals, when addresses were used, concerns."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Counter(models.Model):
    """A counter over the rolling hour (`minute`, `counts`, their sum in `total`), or of what is
    stored (`total`).
    """

    key = models.CharField(primary_key=True, max_length=100)
    minute = models.BigIntegerField(default=0)
    counts = ArrayField(models.IntegerField(), default=list)
    total = models.BigIntegerField(default=0)
    full_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("key",)

    def __str__(self) -> str:
        return self.key


class RefusalCount(models.Model):
    """How many recipients of a domain were refused for a reason in a minute."""

    domain_name = models.CharField(max_length=255)
    reason = models.CharField(max_length=40)
    minute = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("-minute", "domain_name", "reason")
        constraints = [
            models.UniqueConstraint(
                fields=["domain_name", "reason", "minute"], name="refusal_count_once"
            )
        ]
        indexes = [models.Index(fields=["minute"], name="refusal_count_by_minute")]

    def __str__(self) -> str:
        return f"{self.domain_name} {self.reason}: {self.count}"


class AddressUse(models.Model):
    """When an address last got mail, or was made: read off the routing records, some time later.

    Written by use.py alone, one statement for many records, so that accepting mail writes nothing
    more.
    """

    address = models.OneToOneField(
        "tenants.Address",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name="use",
    )
    used_at = models.DateTimeField(null=True, help_text="Empty where none has come yet.")
    idle_since = models.DateTimeField(help_text="The last mail, or the day the address was made.")

    class Meta:
        indexes = [models.Index(fields=["idle_since", "address"], name="address_idle_since")]

    def __str__(self) -> str:
        return f"{self.address_id}: {self.used_at or 'never'}"


class Concern(models.Model):
    """What an operator has to know about an address, as the last look at all of them found it.

    Written by concerns.py alone.
    """

    class Kind(models.TextChoices):
        BROKEN = "broken", "target broken"
        OWNER = "left", "owner left"
        HOLDER = "holder", "holder left"

    address = models.ForeignKey(
        "tenants.Address", on_delete=models.DO_NOTHING, db_constraint=False, related_name="concerns"
    )
    kind = models.CharField(max_length=8, choices=Kind)
    detail = models.CharField(max_length=500)
    since = models.DateTimeField()

    class Meta:
        ordering = ("kind", "address")
        constraints = [
            models.UniqueConstraint(fields=["kind", "address"], name="concern_once_by_address")
        ]

    def __str__(self) -> str:
        return self.detail


class Watermark(models.Model):
    """Up to which moment a job has read the routing records."""

    job = models.CharField(primary_key=True, max_length=40)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.job}: {self.at}"
