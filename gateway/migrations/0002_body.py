"""The table of bodies: partitioned by the day on which they may go, octets uncompressed."""

from django.db import migrations

CREATE = """
CREATE TABLE gateway_body (
    id uuid NOT NULL,
    expires_on date NOT NULL,
    octets bytea NOT NULL,
    PRIMARY KEY (id, expires_on)
) PARTITION BY RANGE (expires_on);
ALTER TABLE gateway_body ALTER COLUMN octets SET STORAGE EXTERNAL;
CREATE TABLE gateway_body_default PARTITION OF gateway_body DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, "DROP TABLE gateway_body")]
