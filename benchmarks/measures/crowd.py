"""Many large messages at once: what the server's memory comes to, and how small ones fare."""

from dataclasses import replace

from benchmarks import processes
from benchmarks.case import Sample, Task
from benchmarks.measures.load import check_stored, order, run, sample
from benchmarks.peers import Peer

SMALL_SESSIONS = 4


def crowd(peer: Peer, task: Task) -> Sample:
    """Times of the small messages; memory is the most that one process had resident."""
    plan = task.plan
    wanted = replace(
        order("crowd", peer, task),
        connections=SMALL_SESSIONS,
        seconds=plan.crowd_seconds,
        beside=task.connections,
        beside_octets=plan.crowd_octets,
    )
    running = peer.processes()
    processes.forget_peaks(running)
    result = run(wanted)
    memory_mib = processes.largest_peak_mib(running)
    check_stored(peer, result.accepted, is_exact=False)
    return replace(sample(result), memory_mib=memory_mib, deferred=result.deferred)
