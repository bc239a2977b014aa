"""Every main page of the panel: its picture's name, and the way there.

docs/screens.md shows each of them, light and dark; tests/test_readme.py holds the two together.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from tests.e2e.installation import SHOP, Installation
from tests.e2e.panel import Panel

Way = Callable[[Panel, Installation], None]


@dataclass(frozen=True, slots=True)
class Screen:
    """One page, the way to it, and whether its picture goes below the fold."""

    name: str
    open: Way
    is_whole: bool = False


def at(path: str) -> Way:
    """The page at this path below /admin/, where names in braces are those of Installation."""

    def go(panel: Panel, shown: Installation) -> None:
        panel.page.goto(f"/admin/{path.format(**asdict(shown))}")

    return go


def _compare(panel: Panel, shown: Installation) -> None:
    at("tenants/source/{source}/change/")(panel, shown)
    panel.press("Compare")


def _ask_to_reroute(panel: Panel, shown: Installation) -> None:
    at("gateway/delivery/{delivery}/change/")(panel, shown)
    panel.follow("Reroute…")


def _read(panel: Panel, shown: Installation) -> None:
    at("gateway/message/{message}/body/")(panel, shown)
    panel.fill(change_reason="The sender asks where it is, ticket 4713")
    panel.press("Read it")


def _take_back(panel: Panel, shown: Installation) -> None:
    at("tenants/alias/{alias}/history/")(panel, shown)
    panel.page.get_by_role("link", name="Take it back…").first.click()


def _check(panel: Panel, shown: Installation) -> None:
    at("tenants/domain/{domain}/change/")(panel, shown)
    panel.press("Check now")
    at("tenants/domain/{domain}/change/")(panel, shown)


def _export(panel: Panel, shown: Installation) -> None:
    at("tenants/alias/?domain__id__exact={domain}")(panel, shown)
    with panel.page.expect_download():
        panel.press("Export")
    at("tenants/export/")(panel, shown)


SCREENS = (
    Screen("overview", at(""), is_whole=True),
    Screen("search", at("search/?q={address}")),
    Screen("search-deleted", at(f"search/?q=intern@{SHOP}")),
    Screen("explain", at("explain/?recipient=sales@" + SHOP), is_whole=True),
    Screen("replay", at("explain/?record={returned}"), is_whole=True),
    Screen("tenants", at("tenants/tenant/")),
    Screen("tenant", at("tenants/tenant/{tenant}/change/"), is_whole=True),
    Screen("tenant-suspend", at("tenants/tenant/{tenant}/suspend/")),
    Screen("tenant-history", at("tenants/tenant/{tenant}/history/")),
    Screen("domains", at("tenants/domain/")),
    Screen("domain", _check, is_whole=True),
    Screen("domain-pending", at("tenants/domain/{pending}/change/")),
    Screen("aliases", at("tenants/alias/?domain__id__exact={domain}")),
    Screen("alias", at("tenants/alias/{alias}/change/"), is_whole=True),
    Screen("alias-history", at("tenants/alias/{alias}/history/")),
    Screen("take-back", _take_back),
    Screen("saved-view", at("tenants/alias/?concern=broken")),
    Screen("saved-views", at("tenants/alias/views/")),
    Screen("role-addresses", at("tenants/roleaddress/")),
    Screen("mailboxes", at("tenants/mailbox/")),
    Screen("next-hop", at("tenants/nexthop/{hop}/change/")),
    Screen("bulk-form", at("tenants/job/{unanswered}/change/")),
    Screen("bulk-foretold", at("tenants/job/{foretold}/change/")),
    Screen("jobs", at("tenants/job/")),
    Screen("job", at("tenants/job/{done}/change/")),
    Screen("import", at("import/")),
    Screen("import-rows", at("tenants/job/{imported}/change/")),
    Screen("exports", _export),
    Screen("moving-in", at("tenants/source/{source}/change/")),
    Screen("shadow-mode", _compare),
    Screen("records", at("gateway/routingrecord/")),
    Screen("trail", at("gateway/routingrecord/{deferred}/change/"), is_whole=True),
    Screen("refused", at("gateway/routingrecord/{refused}/change/")),
    Screen("deliveries", at("gateway/delivery/")),
    Screen("reroute", _ask_to_reroute),
    Screen("queue", at("queue/?now=1")),
    Screen("quarantine", at("gateway/quarantined/")),
    Screen("message", at("gateway/message/{message}/change/")),
    Screen("body-question", at("gateway/message/{message}/body/")),
    Screen("body", _read),
    Screen("refusals", at("gateway/refusalcount/")),
    Screen("alarms", at("watch/alarm/")),
    Screen("alarm", at("watch/alarm/{alarm}/change/")),
    Screen("alarm-recipients", at("watch/alarmrecipient/")),
    Screen("alarm-recipient", at("watch/alarmrecipient/{recipient}/change/")),
    Screen("erasure", at("erasure/")),
    Screen("users", at("auth/user/")),
    Screen("user", at("auth/user/{user}/change/"), is_whole=True),
)
