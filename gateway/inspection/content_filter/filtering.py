"""The Inspector of content: what the filter says of a message, and what each recipient gets for it.

Nothing is asked for a message whose recipients' addresses are not filtered.
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from gateway import metrics
from gateway.incoming import Envelope, Recipient
from gateway.inspection.claims import fields_named
from gateway.inspection.content_filter.breaker import Breaker
from gateway.inspection.content_filter.rspamd import FilterFailed, Report, Rspamd
from gateway.inspection.inspector import Examined, Finding, Inspection, NoTurn
from gateway.routing.authentication import OnFailure
from gateway.routing.content_filter import Verdict, reply_to, treat
from gateway.routing.decision import Decision, Step
from gateway.routing.replies import Reply

log = structlog.get_logger("gateway")

# Fields that say what a filter thinks: ours alone may, where mail is filtered.
CLAIMED = fields_named(rb"x-spam(?:-[!-9;-~]*+)?")
NAMED_SYMBOLS = 10
OUTCOMES = {
    OnFailure.REJECT: "refused",
    OnFailure.HOLD: "held",
    OnFailure.MARK: "marked",
    None: "passed",
}
_UNFIT = re.compile(r"[^ -~]")


class ContentFilter:
    """Asks Rspamd, unless it has not answered a moment ago."""

    def __init__(
        self,
        rspamd: Rspamd,
        *,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rspamd = rspamd
        self._breaker = breaker or Breaker()
        self._clock = clock

    def is_wanted(self, recipients: Sequence[Recipient]) -> bool:
        """See Inspector."""
        return any(each.decision.filters for each in recipients)

    def screen(self, envelope: Envelope, decision: Decision) -> Awaitable[Reply | None] | None:  # noqa: ARG002
        """There is no content yet."""
        return None

    async def inspect(self, examined: Examined) -> Inspection:
        """See Inspector."""
        report = await self._ask(examined)
        metrics.filtered(report.verdict)
        treatments = {
            each.key: treat(each.decision.filters, report.verdict)
            for each in examined.recipients
            if each.decision.filters
        }
        is_refused = OnFailure.REJECT in treatments.values()
        return Inspection(
            reply=reply_to(report.verdict) if is_refused else None,
            findings={key: _finding(report, what) for key, what in treatments.items()},
            claimed=CLAIMED,
            said={"filter": str(report.verdict), "filter_score": f"{report.score:.2f}"},
        )

    async def close(self) -> None:
        """See Inspector."""
        await self._rspamd.close()

    async def _ask(self, examined: Examined) -> Report:
        if not self._breaker.lets_through(self._clock()):
            return Report(Verdict.UNKNOWN, note="not asked, as it did not answer before")
        started = time.perf_counter()
        try:
            async with examined.whole() as octets:
                report = await self._rspamd.check(
                    examined.envelope, [each.text for each in examined.recipients], octets
                )
        except NoTurn:
            return Report(Verdict.UNKNOWN, note="too many large messages are looked at")
        except FilterFailed as error:
            return self._fail(str(error))
        finally:
            metrics.FILTER_SECONDS.observe(time.perf_counter() - started)
        self._breaker.succeed()
        return report

    def _fail(self, why: str) -> Report:
        log.warning("content filter failed", error=why)
        if self._breaker.fail(self._clock()):
            log.warning("content filter not asked for a while")
        return Report(Verdict.UNKNOWN, note=why)


def _finding(report: Report, treatment: OnFailure | None) -> Finding:
    said = _summary(report)
    return Finding(
        steps=(Step("content filter", OUTCOMES[treatment], said),),
        hold=f"content filter: {said}" if treatment is OnFailure.HOLD else "",
        mark=_mark(report) if treatment in (OnFailure.HOLD, OnFailure.MARK) else "",
    )


def _summary(report: Report) -> str:
    """What the filter said, in one line for the trace and the reason of a hold."""
    said = str(report.verdict)
    if report.verdict is not Verdict.UNKNOWN:
        said += f", {report.action}, {report.score:.2f} of {report.required:.2f}"
    symbols = ", ".join(report.symbols[:NAMED_SYMBOLS])
    return _UNFIT.sub("?", "; ".join(filter(None, [said, symbols, report.note])))[:500]


def _mark(report: Report) -> str:
    """Fields on top of what is delivered all the same: mail programs look at X-Spam-Flag."""
    symbols = _UNFIT.sub("?", ",".join(report.symbols[:NAMED_SYMBOLS]))[:500]
    if report.verdict is Verdict.UNKNOWN:
        return "X-Spam-Status: Unknown\r\n"
    return (
        "X-Spam-Flag: YES\r\n"
        f"X-Spam-Score: {report.score:.2f}\r\n"
        f"X-Spam-Status: Yes, {report.verdict}, score={report.score:.2f} "
        f"required={report.required:.2f}\r\n"
        f"X-Spam-Symbols: {symbols}\r\n"
    )
