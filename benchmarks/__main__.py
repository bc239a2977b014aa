"""`python -m benchmarks`: measure, print the table, and fail when a floor is missed.

Exit status: 0 all floors kept, 1 a floor missed (its rows are named), 2 no figures
because a server could not be measured or answered wrongly.
"""

import shutil
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import database, machine, publish, rig
from benchmarks.measure import WrongAnswerError
from benchmarks.peers import Peer, PeerError
from benchmarks.peers.ours import Ours
from benchmarks.peers.postfix import DeliveringPostfix, Postfix, RelayingPostfix
from benchmarks.plan import MODES, Plan
from benchmarks.progress import Progress
from benchmarks.report import Report
from mailrouting.children import StartError, hold
from mailrouting.embedded import data_root, make_root

PEERS: dict[str, Callable[[Path], Peer]] = {
    "ours": Ours,
    "postfix": Postfix,
    "postfix-relaying": RelayingPostfix,
    "postfix-delivering": DeliveringPostfix,
}
USUAL = ("ours", "postfix")


def main() -> int:
    options = _parse()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        report = _measure(_plan(options), _names(options), options.work)
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


def _measure(plan: Plan, names: list[str], folder: Path) -> Report:
    with _servers_folder(folder) as work:
        peers = [PEERS[name](work) for name in names]
        described = machine.describe(work)
        versions = {peer.name: peer.version() for peer in peers if peer.version()}
        progress = Progress(plan.runs(len(peers)))
        if machine.file_system(work) in machine.MEMORY_FILE_SYSTEMS:
            raise PeerError(f"{folder} is kept in memory, where nothing is durable: use --work")
        with database.private_cluster(work) as url:
            versions["PostgreSQL"] = database.version(url)
            measurements = rig.run(plan, peers, url, work, progress)
        progress.end()
        return Report(plan, described, versions, measurements)


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
    given = {"sizes": options.sizes, "connections": options.connections, "modes": options.only}
    return replace(plan, **{name: value for name, value in given.items() if value})


def _names(options: Namespace) -> list[str]:
    chosen = [name for name in USUAL if getattr(options, name)] or list(USUAL)
    return [*chosen, *options.also]


def _parse() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks", description="Measure beside peers.")
    parser.add_argument("--quick", action="store_true", help="100,000 aliases, one short repeat")
    parser.add_argument("--only", choices=MODES, action="append", help="one mode alone")
    parser.add_argument("--sizes", type=_numbers, help="aliases, as 1000,100000")
    parser.add_argument("--connections", type=_numbers, help="as 1,16,64")
    parser.add_argument("--ours", action="store_true", help="our gateway alone")
    parser.add_argument("--postfix", action="store_true", help="Postfix alone")
    parser.add_argument(
        "--also",
        choices=sorted(set(PEERS) - set(USUAL)),
        action="append",
        default=[],
        help="another configuration beside them",
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


if __name__ == "__main__":
    sys.exit(main())
