"""When staff let a delivery go on, from which its lifetime counts; empty: from when it was made.

A column without a default is added in no time, beside running gateways, which do not name it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0018_why_refused_and_failed")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="tried_since",
            field=models.DateTimeField(
                blank=True,
                help_text="When staff let it go on: its days of trying count from then.",
                null=True,
            ),
        ),
    ]
