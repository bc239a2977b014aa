"""Admits messages against counters, in arrival order, all or nothing each.

The shell locks the counters' rows, hands their values in, and writes the changed ones back.
One unit of a rate is one stored recipient; storage counts a message's octets once per tenant.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from gateway.routing.decision import Take
from gateway.routing.policy import storage_reply
from gateway.routing.replies import Reply
from gateway.routing.window import RollingHour


class Tally(Struct, frozen=True):
    """A counter's row: the rolling hour and its total for rates, the total for storage."""

    window: RollingHour = RollingHour()
    total: int = 0
    full_since: datetime | None = None


class Ledger:
    """Counters under lock for one batch. `changed` holds what has to be written back."""

    def __init__(self, tallies: Mapping[str, Tally], *, now: datetime) -> None:
        self.now = now
        self.minute = int(now.timestamp()) // 60  # since the epoch
        self._tallies = dict(tallies)
        self.changed: dict[str, Tally] = {}

    def admit(self, takes: Sequence[Take], octets: int) -> Reply | None:
        """Charge a message, or charge nothing and return the reply of the first full counter."""
        charged: dict[str, Tally] = {}
        for take in takes:
            known = charged.get(take.counter)
            if take.is_storage:
                # A message's octets are one charge, held to the limit of each recipient.
                if known is not None and take.limit is None:
                    continue
                after = self._store(take, octets)
            else:
                after = self._count(known or self._current(take.counter), take.limit)
            if after is None:
                return self._refuse(take, takes)
            charged[take.counter] = after
        self._tallies.update(charged)
        self.changed.update(charged)
        return None

    def _current(self, counter: str) -> Tally:
        tally = self._tallies.get(counter) or Tally()
        return replace(tally, window=tally.window.at(self.minute))

    def _count(self, tally: Tally, limit: int | None) -> Tally | None:
        if limit is not None and tally.window.total + 1 > limit:
            return None
        window = tally.window.take(1)
        return replace(tally, window=window, total=window.total)

    def _store(self, take: Take, octets: int) -> Tally | None:
        tally = self._current(take.counter)
        total = tally.total + octets
        if take.limit is None:
            return replace(tally, total=total)
        if total > take.limit:
            return None
        full_since = (tally.full_since or self.now) if total == take.limit else None
        return replace(tally, total=total, full_since=full_since)

    def _refuse(self, take: Take, takes: Sequence[Take]) -> Reply:
        """The reply of a full counter; a storage's is permanent after days of it.

        It stays temporary for a message that others who have room would lose with it.
        """
        if not take.is_storage:
            return take.reply
        tally = self._current(take.counter)
        if tally.full_since is None:
            marked = replace(tally, full_since=self.now)
            self._tallies[take.counter] = self.changed[take.counter] = marked
        is_alone = all(each.counter == take.counter for each in takes if each.is_storage)
        return storage_reply(tally.full_since, now=self.now) if is_alone else take.reply
