"""Bodies are cut into rows that fill a page each, so a body's key has a number more.

What is stored stays as it is: a body of one row, whose number is 0. The new key's indexes are made
beside running gateways, partition by partition; then the keys are changed in one short transaction.
"""

from django.db import migrations, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql

NUMBER = "ALTER TABLE gateway_body ADD COLUMN IF NOT EXISTS number integer NOT NULL DEFAULT 0"
PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'gateway_body'::regclass
"""
IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
DROP = "DROP INDEX {}"
INDEX = "CREATE UNIQUE INDEX CONCURRENTLY {} ON {} (id, expires_on, number)"
STAY_WHOLE = "ALTER TABLE {} SET (toast_tuple_target = 8160)"
OLD_KEY = "ALTER TABLE gateway_body DROP CONSTRAINT gateway_body_pkey"
KEY = "ALTER TABLE {} ADD PRIMARY KEY USING INDEX {}"
# It takes the partitions' keys for its own and makes those that are missing.
WHOLE_KEY = "ALTER TABLE gateway_body ADD PRIMARY KEY (id, expires_on, number)"


def change_key(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        indexes = {name: f"{name}_pieces" for name in partitions(cursor)}
        for partition, index in indexes.items():
            make_index(cursor, partition, index)
        with transaction.atomic():
            cursor.execute(OLD_KEY)
            for partition, index in indexes.items():
                run(cursor, KEY, partition, index)
            cursor.execute(WHOLE_KEY)
        for partition in partitions(cursor):
            run(cursor, STAY_WHOLE, partition)


def partitions(cursor: CursorWrapper) -> list[str]:
    cursor.execute(PARTITIONS)
    return [name for (name,) in cursor.fetchall()]


def make_index(cursor: CursorWrapper, partition: str, index: str) -> None:
    """Once; one that was cut off is made anew."""
    cursor.execute(IS_VALID, [index])
    found = cursor.fetchone()
    if found == (False,):
        run(cursor, DROP, index)
    if found != (True,):
        run(cursor, INDEX, index, partition)


def run(cursor: CursorWrapper, statement: str, *names: str) -> None:
    cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0001_squashed_0020_owner_and_holder_left")]

    operations = [
        migrations.RunSQL(NUMBER, migrations.RunSQL.noop),
        migrations.RunPython(change_key, migrations.RunPython.noop),
    ]
