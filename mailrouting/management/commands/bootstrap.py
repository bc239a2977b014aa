"""Makes a database ready for its first use, and does nothing on later runs.

What is shown once goes to the terminal; what `up` wants to print each time goes to a
small file in the data folder.
"""

import json
import secrets
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

ADMIN = "admin"


class Command(BaseCommand):
    help = "Apply migrations, make room for mail; first create the user admin and a demo tenant."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--summary", type=Path, help="write what `up` prints to this JSON file")

    def handle(self, *_arguments: object, summary: Path | None, **_options: object) -> None:
        try:
            is_behind = has_migrations_to_apply()
        except OperationalError as error:
            raise CommandError(
                f"The database of DATABASE_URL does not answer: {str(error).splitlines()[0]}"
            ) from None
        if is_behind:
            call_command("migrate", interactive=False, verbosity=0)
        establish_roles()
        if password := create_admin():
            self.stdout.write(
                f"Created the user {ADMIN} with the password {password} (shown this once; "
                f"`manage.py changepassword {ADMIN}` sets another)."
            )
        first_address = create_demo()
        make_partitions()
        if summary is not None:
            summary.write_text(json.dumps({"first_address": first_address}))


def has_migrations_to_apply() -> bool:
    """Much cheaper than `migrate`, which renders every state even when nothing is to do."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def create_admin() -> str | None:
    """The new superuser's password; None where there is a superuser already."""
    users = get_user_model()._default_manager
    if users.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(15)
    user = get_user_model()(username=ADMIN, is_staff=True, is_superuser=True)
    user.set_password(password)
    user.save()
    return password


def establish_roles() -> None:
    """A role means what this version says, whatever version or hand wrote its group."""
    from mailrouting import staff

    staff.establish_roles()


def make_partitions() -> None:
    """Room for the bodies of the first days; later the purge makes it."""
    from gateway import retention

    retention.make_partitions()


def create_demo() -> str:
    """The address of the demo tenant that a first message is sent to."""
    from tenants.changes import Actor
    from tenants.services import create_demo_tenant

    return str(create_demo_tenant(actor=Actor.system("bootstrap")).first_address)
