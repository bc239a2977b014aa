"""Records are found by the detail of the subaddress that was written to.

The index holds those records alone, and is made beside running gateways.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0011_unchecked_references")]

    operations = [
        AddIndexConcurrently(
            model_name="routingrecord",
            index=models.Index(fields=["detail"], condition=~Q(detail=""), name="record_by_detail"),
        ),
    ]
