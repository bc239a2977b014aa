"""An index of the deliveries that are held or in quarantine, made beside running gateways.

It takes no entry of any other delivery, so wire speed does not notice it.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0013_body_reading_and_reroute")]

    operations = [
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                fields=["state", "id"],
                condition=Q(state__in=["held", "quarantined"]),
                name="delivery_kept_back",
            ),
        ),
    ]
