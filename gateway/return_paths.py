"""Who a bounce to an opaque return path is for: the sender of the forwarded message."""

from collections.abc import Collection
from uuid import UUID

from gateway.models import Delivery


def find(ids: Collection[UUID]) -> dict[UUID, str]:
    """The envelope senders of these deliveries' messages, in one query; unknown ids are absent."""
    rows = Delivery.objects.filter(id__in=ids).values_list("id", "message__sender")
    return dict(rows)
