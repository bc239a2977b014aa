"""A gateway process at its limits and under hostile words: descriptors, start, lines of its log."""

import re
import time
from pathlib import Path

import pytest

from gateway.routing import replies
from gateway.smtpd.door import RESERVED_DESCRIPTORS
from tests.gateway.process import GatewayProcess, gateway_process
from tests.gateway.stage import Stage
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("database", "socket_enabled")

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
FORGED = "x\x1b[31m\x0b event=forged client=198.51.100.9"


def is_greeted(gateway: GatewayProcess) -> bool:
    return gateway.open().reply().startswith("220")


def test_descriptors_are_raised_to_the_hard_limit_and_bound_the_connections(tmp_path: Path):
    descriptors = 256
    with gateway_process(tmp_path, descriptors=descriptors) as gateway:
        limits = Path(f"/proc/{gateway.pid}/limits").read_text()
        assert re.search(rf"Max open files +{descriptors} +{descriptors} ", limits)
        assert "too few descriptors" in gateway.log()
        fitting = descriptors - RESERVED_DESCRIPTORS
        idle = [gateway.open("127.0.0.2") for _ in range(fitting // 2)]
        idle += [gateway.open("127.0.0.3") for _ in range(fitting - fitting // 2)]
        for wire in idle:
            assert wire.reply().startswith("220")

        assert gateway.open().reply() == str(replies.TOO_MANY_CONNECTIONS)

        for wire in idle:
            wire.close()
        wait_until(lambda: is_greeted(gateway))


def test_process_without_descriptors_neither_spins_nor_ends_and_recovers(tmp_path: Path):
    with gateway_process(
        tmp_path, descriptors=160, GATEWAY_EXEMPT_NETWORKS="127.0.0.0/8"
    ) as gateway:
        idle = [gateway.open() for _ in range(300)]  # exempt from the cap that would prevent it
        greeted = [wire for wire in idle if wire.reply_or_end().startswith("220")]
        assert 100 < len(greeted) < 160
        before = gateway.cpu_seconds()
        time.sleep(0.5)  # what is looked for is idleness
        assert gateway.cpu_seconds() - before < 0.25
        assert greeted[0].command("NOOP").startswith("250")

        for wire in idle:
            wire.close()
        wait_until(lambda: gateway.open().reply_or_end().startswith("220"))
        assert gateway.is_running()


def test_what_a_client_sends_starts_no_line_and_reaches_no_terminal(tmp_path: Path, stage: Stage):
    with gateway_process(tmp_path) as gateway, gateway.open() as wire:
        wire.reply()
        for line in (
            f"{FORGED} x",
            f"EHLO {FORGED}",
            "EHLO client.example",
            f'MAIL FROM:<"{FORGED}"@b.example>',
            "MAIL FROM:<a@b.example>",
            f'RCPT TO:<"{FORGED}"@{stage.domain.name}>',
            f"RCPT TO:<{FORGED}@{stage.domain.name}>",
            'RCPT TO:<"a\rlevel=info event=forged"@b.example>',
        ):
            wire.command(line)
        wire.write(b'RCPT TO:<"a\nlevel=info event=forged"@b.example>\r\n')
        wire.talk("S: 5\nS: 5")
    written = gateway.log()  # whole, now that nobody writes to it

    assert "event=decision" in written
    for line in written.splitlines():
        assert line.isprintable()
        assert line.startswith("timestamp=")
        assert "forged" not in QUOTED.sub("", line)


def test_told_to_stop_it_ends_cleanly_with_idle_connections(tmp_path: Path):
    with gateway_process(tmp_path) as gateway:
        idle = [gateway.open() for _ in range(20)]
        for wire in idle:
            assert wire.reply().startswith("220")
        gateway.terminate()
        for wire in idle:
            assert wire.reply() == str(replies.SHUTTING_DOWN)
        assert gateway.wait() == 0
