"""The order of events, with servers that only note what is done to them."""

from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import database
from benchmarks.case import Case, Sample, Task, WrongAnswerError
from benchmarks.database import Database
from benchmarks.peers import Peer, PeerError
from benchmarks.plan import Plan
from benchmarks.population import Population
from benchmarks.rig import Rig

SMALL, LARGE = Population(10), Population(1000)


class Noted:
    """A server that does nothing but say so."""

    port = 25

    def __init__(self, name: str, log: list[str], missing: str = "") -> None:
        self.name, self._log, self._missing = name, log, missing

    def prepare(self) -> str:
        if self._missing:
            raise PeerError(self._missing)
        return "1.0"

    def start(self, database: Database) -> None:
        self._log.append(f"{self.name} starts on {database.people.aliases}")

    def stop(self) -> None:
        self._log.append(f"{self.name} stops")

    def processes(self) -> list[int]:
        return []

    def stored_count(self) -> int:
        return 0

    def clear(self) -> None:
        pass


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened; databases are loaded in name alone."""
    found: list[str] = []

    def load(url: str, people: Population, work: Path) -> Database:
        found.append(f"load {people.aliases}")
        return Database(url, people, work)

    monkeypatch.setattr(database, "load", load)
    return found


def asking(log: list[str]) -> "Case":
    def measure(peer: Peer, task: Task) -> Sample:
        log.append(f"{peer.name} {task.people.aliases} {task.connections}")
        return Sample(1, 2)

    return Case("rcpt", "few", SMALL, (1, 16), ("a", "b", "absent"), measure)


def test_servers_take_turns_and_one_is_up_at_a_time(log: list[str], tmp_path: Path) -> None:
    one = asking(log)
    other = Case("idle", "many", LARGE, (5,), ("a",), one.measure, is_repeated=False)
    rig = Rig(Plan(repeats=2), [one, other], {"a": Noted("a", log), "b": Noted("b", log)})
    found = rig.run("url", tmp_path)
    turn_of_a = ["a starts on 10", "a 10 1", "a 10 16", "a stops"]
    turn_of_b = ["b starts on 10", "b 10 1", "b 10 16", "b stops"]
    once = ["a starts on 1000", "a 1000 5", "a stops"]
    assert log == [
        *("load 10", "load 1000"),
        *(*turn_of_a, *turn_of_b, *once),
        *(*turn_of_a, *turn_of_b),
    ]
    assert [one.repeat for one in found] == [0] * 5 + [1] * 4


def test_a_wrong_answer_ends_the_benchmark_and_its_server(log: list[str], tmp_path: Path) -> None:
    def measure(peer: Peer, task: Task) -> Sample:
        raise WrongAnswerError("2 messages got 250, 1 are stored")

    case = Case("messages", "few", SMALL, (16,), ("a", "b"), measure)
    rig = Rig(Plan(), [case], {"a": Noted("a", log), "b": Noted("b", log)})
    with pytest.raises(WrongAnswerError, match="a, messages, few, 16 connections: 2 messages"):
        rig.run("url", tmp_path)
    assert log == ["load 10", "a starts on 10", "a stops"]


def test_a_missing_server_is_told_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    peers: dict[str, Peer] = {
        "ours": Noted("ours", []),
        "exim": Noted("Exim", [], missing="there is no apt-get here"),
    }
    assert command._prepare(peers, ()) == {"Ours": "1.0"}
    assert list(peers) == ["ours"]
    assert "Left out: Exim: there is no apt-get here\n" in capsys.readouterr().err


def test_a_missing_server_that_was_asked_for_is_an_error() -> None:
    peers: dict[str, Peer] = {"exim": Noted("Exim", [], missing="there is no apt-get here")}
    with pytest.raises(PeerError, match="no apt-get"):
        command._prepare(peers, ("exim",))
