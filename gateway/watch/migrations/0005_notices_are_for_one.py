"""What 0004 asks of new notices, asked of those there are, while the table stays in use."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("watch", "0004_notices_to_owners")]

    operations = [ValidateConstraint(model_name="notice", name="notice_for_one")]
