"""Domains by how people read their names, found beside running gateways."""

import django.db.models.functions.comparison
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tenants", "0018_forwarded_items")]

    operations = [
        AddIndexConcurrently(
            model_name="domain",
            index=models.Index(
                django.db.models.functions.comparison.Collate("u_label", "C"),
                models.F("id"),
                name="domain_by_u_label",
            ),
        ),
    ]
