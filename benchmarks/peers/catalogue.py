"""Every server that the rig can measure, by the name that cases and the command line use."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from benchmarks.peers import Peer
from benchmarks.peers.exim import Exim
from benchmarks.peers.filtering import FilteringPostfix
from benchmarks.peers.haraka import ClusteredHaraka, Haraka
from benchmarks.peers.ours import AuthenticatingOurs, AwayOurs, DeliveringOurs, Ours, TwinOurs
from benchmarks.peers.postfix import (
    DeliveringPostfix,
    Postfix,
    ProxiedPostfix,
    RelayingPostfix,
)

OURS: dict[str, Callable[[Path, int], Peer]] = {
    "ours": Ours,
    "ours-1ms": partial(AwayOurs, milliseconds=1),
    "ours-80ms": partial(AwayOurs, milliseconds=80),
    "ours-twice": TwinOurs,
    "ours-delivering": DeliveringOurs,
    "ours-authenticating": AuthenticatingOurs,
}
OTHERS: dict[str, Callable[[Path], Peer]] = {
    "postfix": Postfix,
    "postfix-proxymap": ProxiedPostfix,
    "postfix-delivering": DeliveringPostfix,
    "postfix-relaying": RelayingPostfix,
    "postfix-filtering": FilteringPostfix,
    "exim": Exim,
    "haraka": Haraka,
    "haraka-cluster": ClusteredHaraka,
}
FAMILIES = ("ours", "postfix", "exim", "haraka")
EXTRAS = ("postfix-relaying",)  # measured only when asked for


def build(
    families: Collection[str], extras: Collection[str], work: Path, gateways: int
) -> dict[str, Peer]:
    """The servers of these families, ours in so many processes; extras only when named."""
    ours = {name: make(work, gateways) for name, make in OURS.items() if "ours" in families}
    others = {
        name: make(work)
        for name, make in OTHERS.items()
        if family(name) in families and (name not in EXTRAS or name in extras)
    }
    return ours | others


def family(name: str) -> str:
    """What is asked for with --peers, of which a server is one variant."""
    return name.partition("-")[0]
