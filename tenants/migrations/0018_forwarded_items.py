"""Rows of jobs that end an address while others forward to it, found beside running gateways."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tenants", "0017_exports_of_a_tenant")]

    operations = [
        AddIndexConcurrently(
            model_name="jobitem",
            index=models.Index(
                condition=models.Q(("payload__has_key", "forwards_here")),
                fields=["job", "id"],
                name="job_item_forwarded",
            ),
        ),
    ]
