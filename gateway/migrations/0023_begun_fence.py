"""Which claim a delivery was last begun in, so that what merely waits in a worker that ends is not
taken for what ended it.

A column without a default is added in no time, beside running workers, which do not name it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0022_message_labels")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="begun_fence",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="The claim in which it was last begun; noted once a worker has ended with it.",
                null=True,
            ),
        ),
    ]
