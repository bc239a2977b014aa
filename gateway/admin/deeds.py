"""What operators may do with deliveries, as they read it, and how each deed is asked about."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway import delivery as queue
from gateway.delivery.actions import Action


@dataclass(frozen=True, slots=True)
class Deed:
    """An action on deliveries as an operator reads it."""

    action: Action
    title: str
    effect: str
    done: str
    act: Callable[..., int]
    is_final: bool = False

    @property
    def name(self) -> str:
        """As it stands in addresses of pages."""
        return self.action.value


RETRY = Deed(
    Action.RETRY,
    "Retry now",
    "Due at once; what failed or is in quarantine starts afresh.",
    "due now",
    queue.retry_now,
)
HOLD = Deed(
    Action.HOLD,
    "Hold",
    "Kept back, with the body, until somebody releases it.",
    "held",
    queue.hold,
)
RELEASE = Deed(
    Action.RELEASE,
    "Release",
    "Goes on, and is due at once.",
    "due now",
    queue.release,
)
REROUTE = Deed(
    Action.REROUTE,
    "Reroute",
    "Goes to another place of its tenant at once, and not to the former one any more.",
    "on another way",
    queue.reroute,
)
FAIL = Deed(
    Action.FAIL,
    "Fail",
    "Given up, unless somebody retries it later. Senders are not told: no bounce is made.",
    "given up",
    queue.fail,
    is_final=True,
)
DEEDS = {deed.name: deed for deed in (RETRY, HOLD, RELEASE, REROUTE, FAIL)}
