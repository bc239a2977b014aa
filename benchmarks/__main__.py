"""`python -m benchmarks`: measure, print the tables, and fail when a floor is missed.

Exit status: 0 all floors kept, 1 a floor missed (its rows are named), 2 no figures
because a server could not be measured or answered wrongly.
"""

import resource
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import database, machine, publish
from benchmarks.case import WrongAnswerError
from benchmarks.cases import cases
from benchmarks.kinds import KINDS
from benchmarks.peers import Peer, PeerError
from benchmarks.peers.catalogue import EXTRAS, FAMILIES, build, family
from benchmarks.plan import Plan
from benchmarks.report import Report
from benchmarks.rig import Rig
from mailrouting.children import StartError, hold
from mailrouting.embedded import data_root, make_root

DESCRIPTORS = 16_384  # sessions of the idle case, here and in each server


def main() -> int:
    options = _parse()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        report = _measure(_plan(options), options)
    except (PeerError, WrongAnswerError, StartError, subprocess.SubprocessError) as error:
        print(f"No figures: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    report.write(publish.RESULTS)
    publish.RESULTS.with_suffix(".md").write_text(report.markdown())
    print(report.markdown())
    missed = [verdict for verdict in report.verdicts() if not verdict.is_kept]
    for verdict in missed:
        print(f"Missed: {verdict.row}: {verdict.measured}, {verdict.floor}", file=sys.stderr)
    return 1 if missed else 0


def _measure(plan: Plan, options: Namespace) -> Report:
    _allow_descriptors()
    with _servers_folder(options.work) as work:
        if machine.file_system(work) in machine.MEMORY_FILE_SYSTEMS:
            raise PeerError(f"{options.work} is kept in memory, where nothing is durable: --work")
        described = machine.describe(work)
        chosen = cases(plan)
        needed = {name for case in chosen for name in case.peers}
        found = build(options.peers or FAMILIES, options.also, work, plan.processes)
        wanted = {name: peer for name, peer in found.items() if name in needed}
        versions = _prepare(wanted, options.peers or ())
        if not any(name in wanted for name in needed):
            raise PeerError("none of these cases is measured on these servers")
        with database.private_cluster(work) as url:
            described_versions = versions | {"PostgreSQL": database.version(url)}
            measurements = Rig(plan, chosen, wanted).run(url, work)
        return Report(plan, described, described_versions, measurements)


def _prepare(peers: dict[str, Peer], asked_for: Collection[str]) -> dict[str, str]:
    """Versions by name; servers that cannot be measured here are told and left out.

    Raises PeerError for one that was asked for by name.
    """
    versions: dict[str, str] = {}
    for name, peer in list(peers.items()):
        print(f"preparing {name}", file=sys.stderr)
        try:
            version = peer.prepare()
        except PeerError as error:
            if family(name) in asked_for:
                raise
            print(f"Left out: {peer.name}: {error}", file=sys.stderr)
            del peers[name]
        else:
            versions |= {family(name).capitalize(): version} if version else {}
    return versions


def _allow_descriptors() -> None:
    """As many open files as the system lets us have, also for the servers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@contextmanager
def _servers_folder(work: Path) -> Iterator[Path]:
    """A folder that other accounts may pass through; gone with all it holds at the end.

    One benchmark at a time works here: two would measure each other.
    """
    make_root(work)
    with hold(work, "benchmark"):
        servers = work / "servers"
        shutil.rmtree(servers, ignore_errors=True)  # of a benchmark that was killed
        make_root(servers)
        try:
            yield servers
        finally:
            shutil.rmtree(servers)


def _plan(options: Namespace) -> Plan:
    plan = Plan().quick() if options.quick else Plan()
    given = {
        "only": tuple(options.only),
        "sizes": options.sizes,
        "connections": options.connections,
        "repeats": options.repeats,
        "processes": options.processes,
    }
    return replace(plan, **{name: value for name, value in given.items() if value})


def _parse() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks", description="Measure beside peers.")
    parser.add_argument("--quick", action="store_true", help="fewer rows, one short repeat")
    parser.add_argument(
        "--only", choices=list(KINDS), action="append", default=[], help="one case; repeatable"
    )
    parser.add_argument("--sizes", type=_numbers, help="aliases, as 1000,1000000")
    parser.add_argument("--connections", type=_numbers, help="as 1,16,64")
    parser.add_argument("--repeats", type=int, help="runs of each, of which the median counts")
    parser.add_argument("--processes", type=int, help="processes of our gateway")
    parser.add_argument(
        "--peers", type=_families, help=f"only these, and all of them: {','.join(FAMILIES)}"
    )
    parser.add_argument(
        "--also", choices=EXTRAS, action="append", default=[], help="one more configuration"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=data_root() / "benchmark",
        help="where the private servers keep their data; a disk, not memory",
    )
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _families(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(FAMILIES):
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
