"""A queue that serves tenants in turn, so that one with much mail does not keep others waiting."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of one owner leave in the order they came, owners in turn."""

    def __init__(self) -> None:
        self._items: dict[Hashable, deque[Item]] = {}
        self._turns: deque[Hashable] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, owner: Hashable, item: Item) -> None:
        """Add an item behind all others of its owner."""
        waiting = self._items.get(owner)
        if waiting is None:
            waiting = self._items[owner] = deque()
            self._turns.append(owner)
        waiting.append(item)
        self._size += 1

    def take(self) -> Item:
        """The next item. Raises IndexError when there is none."""
        owner = self._turns.popleft()
        waiting = self._items[owner]
        item = waiting.popleft()
        self._size -= 1
        if waiting:
            self._turns.append(owner)
        else:
            del self._items[owner]
        return item
