"""Sessions in the database by the hash of their key: whoever reads a backup gets into none.

A key is random (32 of 36 characters), so that a plain hash is enough; 160 bits of it fit Django's
column. Its table has Django's form, and `clearsessions` works on it.
"""

from hashlib import sha256
from typing import Any

from django.contrib.sessions.backends.db import SessionStore as KeyedStore
from django.utils import timezone

DIGITS = 40  # hexadecimal


class SessionStore(KeyedStore):
    """Django's sessions in the database, looked up by what their keys hash to."""

    def _get_session_from_db(self) -> Any:
        rows = self.model.objects.filter(expire_date__gt=timezone.now())
        found = rows.filter(session_key=digest(str(self.session_key))).first()
        if found is None:
            self._session_key = None
        return found

    def exists(self, session_key: str) -> bool:
        return super().exists(digest(session_key))

    def create_model_instance(self, data: Any) -> Any:
        row = super().create_model_instance(data)
        row.session_key = digest(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        if (key := session_key or self.session_key) is not None:
            super().delete(digest(key))


def digest(key: str) -> str:
    """What a session's key stands as."""
    return sha256(key.encode()).hexdigest()[:DIGITS]
