"""What the figures were measured on, without the names of anybody's hosts."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


def describe(work: Path) -> dict[str, str]:
    """Processor, memory, kernel, Python and file system of the working folder."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{len(os.sched_getaffinity(0))} × {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "file system": file_system(work),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def file_system(folder: Path) -> str:
    """The type of the file system that holds the folder, as the kernel calls it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = {str(place) for place in (folder.resolve(), *folder.resolve().parents)}
    # The deepest mount point above the folder holds it; of two on one point, the later one.
    holding = [
        (len(point), position, kind)
        for position, (_, point, kind, *_) in enumerate(mounts)
        if point in above
    ]
    return max(holding)[2] if holding else "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
