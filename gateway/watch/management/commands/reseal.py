"""`manage.py reseal`: seal what is encrypted in the database anew, by the newest key."""

from django.core.management.base import BaseCommand

from gateway.watch.models import AlarmRecipient
from gateway.watch.places import reseal


class Command(BaseCommand):
    help = "Encrypt secrets in the database and its history by the newest of ENCRYPTION_KEYS."
    requires_migrations_checks = True

    def handle(self, *_arguments: object, **_options: object) -> None:
        events = AlarmRecipient.pgh_event_model  # type: ignore[attr-defined]
        count = reseal(AlarmRecipient._meta.db_table, events._meta.db_table)
        self.stdout.write(f"{count:,} addresses of webhooks are sealed by the newest key.")
