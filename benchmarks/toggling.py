"""Switches an alias off and on through the panel's write path, and asks both gateways each time.

`python -m benchmarks.toggling PORT PORT TOGGLES` works on DATABASE_URL and writes JSON: how many
replies were asked for, how many were stale, and the time from the commit to the last of both.
"""

import json
import smtplib
import sys
from time import perf_counter

import django

django.setup()

from benchmarks.histogram import Histogram  # noqa: E402 - models need the set-up
from benchmarks.population import SENDER, local_part  # noqa: E402
from benchmarks.ports import HOST  # noqa: E402
from tenants import changes  # noqa: E402
from tenants.models import Alias  # noqa: E402

ALIAS = local_part(0)
TOGGLES_PER_TRANSACTION = 50
ACCEPTED, REFUSED = 250, 550


def main(ports: list[int], toggles: int) -> dict[str, float | None]:
    """What came of so many toggles."""
    alias = Alias.objects.get(local_part=ALIAS)
    actor = changes.Actor.system("benchmark")
    gateways = [smtplib.SMTP(HOST, port, local_hostname="toggling.example") for port in ports]
    times = Histogram()
    stale = 0
    for number in range(toggles):
        if number % TOGGLES_PER_TRANSACTION == 0:
            _begin(gateways)
        alias.enabled = not alias.enabled
        changes.save(alias, actor=actor, update_fields=["enabled"])
        started = perf_counter()
        codes = [gateway.rcpt(alias.key)[0] for gateway in gateways]
        times.record(perf_counter() - started)
        stale += sum(code != (ACCEPTED if alias.enabled else REFUSED) for code in codes)
    for gateway in gateways:
        gateway.quit()
    return {
        "asked": toggles * len(ports),
        "stale": stale,
        "p50_ms": times.percentile(50),
        "p99_ms": times.percentile(99),
    }


def _begin(gateways: list[smtplib.SMTP]) -> None:
    """A fresh transaction on each gateway."""
    for gateway in gateways:
        gateway.ehlo_or_helo_if_needed()
        gateway.rset()
        gateway.mail(SENDER)


if __name__ == "__main__":
    *listening, many = map(int, sys.argv[1:])
    json.dump(main(listening, many), sys.stdout)
