"""`manage.py reseal`: seal what is encrypted in the database anew, by the newest key."""

from django.core.management.base import BaseCommand

from gateway.watch import places
from gateway.watch.models import AlarmRecipient
from mailrouting.sign_in_secrets import reseal_apps, reseal_factors
from tenants.sealing import Tally

SEALED = "{what}: {number:,} sealed by the newest key."
LEFT = "{what}: {number:,} left as they are, since no key of ENCRYPTION_KEYS opens them."


class Command(BaseCommand):
    help = "Encrypt secrets in the database and its history by the newest of ENCRYPTION_KEYS."
    requires_migrations_checks = True

    def handle(self, *_arguments: object, **_options: object) -> None:
        self._tell("Addresses of webhooks", _reseal_webhooks())
        self._tell("Second factors", reseal_factors())
        self._tell("Secrets of sign-in providers", reseal_apps())

    def _tell(self, what: str, tally: Tally) -> None:
        self.stdout.write(SEALED.format(what=what, number=tally.sealed))
        if tally.left:
            self.stderr.write(LEFT.format(what=what, number=tally.left))


def _reseal_webhooks() -> Tally:
    events = AlarmRecipient.pgh_event_model  # type: ignore[attr-defined]
    return places.reseal(AlarmRecipient._meta.db_table, events._meta.db_table)
