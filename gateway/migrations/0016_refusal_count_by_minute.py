"""Counts of refusals by minute, for what looks at the last of them; made beside running gateways."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0015_quarantine")]

    operations = [
        AddIndexConcurrently(
            model_name="refusalcount",
            index=models.Index(fields=["minute"], name="refusal_count_by_minute"),
        ),
    ]
