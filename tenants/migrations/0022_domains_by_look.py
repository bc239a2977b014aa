"""What the domains that are there look like, written down and indexed beside running gateways.

It follows from their names, so no edit stands in their history.
"""

import pgtrigger
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

from tenants.lookalikes import skeleton

AT_ONCE = 500


def fill(apps, schema_editor):
    """In chunks, each a transaction of its own."""
    domains = apps.get_model("tenants", "Domain").objects.filter(skeleton="").exclude(u_label="")
    with pgtrigger.ignore("tenants.Domain:update_update"):
        while rows := list(domains.only("u_label")[:AT_ONCE]):
            for row in rows:
                row.skeleton = skeleton(row.u_label)
            domains.model.objects.bulk_update(rows, ["skeleton"])


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tenants", "0021_domain_looks")]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        AddIndexConcurrently(
            model_name="domain",
            index=models.Index(
                condition=models.Q(("state__in", ("active", "degraded"))),
                fields=["skeleton"],
                name="domain_by_look",
            ),
        ),
    ]
