"""The total of a rate's window stands beside its counts, which need not be read as long as it is low."""

from django.db import migrations

FILL = """
UPDATE gateway_counter SET total = coalesce((SELECT sum(each) FROM unnest(counts) AS each), 0)
WHERE key LIKE 'rate:%'
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0008_receipt")]

    operations = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]
