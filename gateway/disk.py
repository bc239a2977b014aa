"""Whether the disks that this gateway writes to have room; below the reserve no mail is begun.

Asked every few seconds on a thread, since a disk may take its time, and answered from memory.
PostgreSQL's own disk is seen here only where it is this machine's; elsewhere it says so itself.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from gateway import metrics

PERIOD_SECONDS = 5.0

log = structlog.get_logger("gateway")


def free_octets(folder: str) -> int:
    """How much an ordinary account may still write there. Raises OSError."""
    return shutil.disk_usage(folder).free


class DiskWatch:
    """Keeps `is_low` true while one of the folders has less than the reserve left."""

    def __init__(
        self,
        folders: Sequence[str] = (),
        *,
        reserve_octets: int = 0,
        free: Callable[[str], int] = free_octets,
    ) -> None:
        self._folders = folders
        self._reserve_octets = reserve_octets
        self._free = free
        self.is_low = False

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while self._folders:
            await self.look()
            await asyncio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Ask each folder's disk; one that cannot be asked counts as low."""
        try:
            least = await asyncio.to_thread(lambda: min(map(self._free, self._folders)))
        except OSError as error:
            log.warning("a disk cannot be asked for its room", error=str(error))
            least = 0
        metrics.DISK_FREE_OCTETS.set(least)
        was_low, self.is_low = self.is_low, least < self._reserve_octets
        if self.is_low != was_low:
            log.warning("disk low" if self.is_low else "disk has room again", free_octets=least)


@dataclass(frozen=True, slots=True)
class Room:
    """Where messages on their way in are kept: large ones in the folder, none where disk is low."""

    spool_folder: str | None = None  # None is the system's folder for temporary files
    disk: DiskWatch = field(default_factory=DiskWatch)
