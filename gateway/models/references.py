"""References of what happened to mail: none of them costs a look-up at wire speed."""

from typing import Any

from django.db import models


def loose(to: str) -> Any:
    """A reference into the control plane that survives the row it names."""
    return models.ForeignKey(
        to,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,  # rows are written at wire speed: each index has to earn its place
        null=True,
        blank=True,
        related_name="+",
    )


def written_after(to: Any, related_name: str, *, is_optional: bool = False) -> Any:
    """A reference to a row that the same statement writes, or an earlier one, and one purge takes.

    The database does not check it: at wire speed that costs a look-up and a lock of the row each
    time, a fifth of what PostgreSQL does for a batch of messages.
    """
    return models.ForeignKey(
        to,
        on_delete=models.CASCADE,
        db_constraint=False,
        null=is_optional,
        blank=is_optional,
        related_name=related_name,
    )
