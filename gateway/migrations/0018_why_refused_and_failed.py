"""Indexes of refused records by reason and of failed deliveries, made beside running gateways.

Neither takes an entry of mail that is accepted and delivered, so wire speed does not notice them.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0017_address_use")]

    operations = [
        AddIndexConcurrently(
            model_name="routingrecord",
            index=models.Index(
                fields=["reason", "-id"], condition=Q(accepted=False), name="record_refused_for"
            ),
        ),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(fields=["id"], condition=Q(state="failed"), name="delivery_failed"),
        ),
    ]
