"""The processes of a server and their memory, as /proc tells it."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from mailrouting.children import Child

PROC = Path("/proc")
MIB = 2**20
_RESET_PEAK = "5"  # proc(5), clear_refs


def below(children: Iterable[Child]) -> list[int]:
    """Every process that runs below these leashes, the leashes left out."""
    offspring = _offspring()
    found: list[int] = []
    waiting = [child.leash.pid for child in children]
    while waiting:
        born = offspring[waiting.pop()]
        found += born
        waiting += born
    return found


def shared_mib(pids: Collection[int]) -> float:
    """Memory of these processes together; what they share counts once (PSS)."""
    return sum(_kibibytes(pid, "smaps_rollup", "Pss") for pid in pids) / 1024


def largest_peak_mib(pids: Collection[int]) -> float:
    """The most that the largest of these processes had resident since `forget_peaks`."""
    return max(_kibibytes(pid, "status", "VmHWM") for pid in pids) / 1024


def forget_peaks(pids: Collection[int]) -> None:
    for pid in pids:
        (PROC / str(pid) / "clear_refs").write_text(_RESET_PEAK)


def _kibibytes(pid: int, file: str, name: str) -> int:
    """A figure of a process; 0 when it has ended."""
    try:
        text = (PROC / str(pid) / file).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in text.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def _offspring() -> defaultdict[int, list[int]]:
    """Each process's children, those that are dead already left out."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for status in PROC.glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything; state and parent follow the last bracket.
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found[int(parent)].append(int(status.parent.name))
    return found
