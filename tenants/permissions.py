"""What a user has to hold to write a row by hand, which ways around the row's page ask for, too.

An address is written on the page of its kind, so its permission is that of an alias or a role.
"""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import models

from tenants.changes import Actor
from tenants.models import Address, Alias, RoleAddress, SubaddressRule, Target

CHANGE_TARGETS = "tenants.change_target"


def page_model(model: type[models.Model], row: Any) -> type[models.Model]:
    """The model whose page a row, or an event of it, is written on."""
    if not issubclass(model, Address):
        return model
    return RoleAddress if row.kind == Address.Kind.ROLE else Alias


def name_of(verb: str, model: type[models.Model]) -> str:
    """The permission to add, change or delete such rows."""
    return f"{model._meta.app_label}.{verb}_{model._meta.model_name}"


def require(actor: Actor, verb: str, model: type[models.Model]) -> None:
    """Raises PermissionDenied where a user may not do this to such rows by hand."""
    user: Any = actor.user
    if user is not None and not user.has_perm(name_of(verb, model)):
        raise PermissionDenied(f"You may not {verb} {model._meta.verbose_name_plural}.")


def require_targets(actor: Actor) -> None:
    """Raises PermissionDenied where a user may not say where mail goes."""
    require(actor, "change", Target)


def require_rules(actor: Actor) -> None:
    """Raises PermissionDenied where a user may not say what becomes of subaddresses."""
    require(actor, "change", SubaddressRule)
