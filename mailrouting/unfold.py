"""The look of the admin: its name, colours and the groups of its sidebar."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, name: str, permission: str) -> dict[str, Any]:
    def may_see(request: HttpRequest) -> bool:
        return request.user.has_perm(permission)

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{name}"),
        "permission": may_see,
    }


def _list(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return _item(title, icon, f"{app}_{model}_changelist", f"{app}.view_{model}")


NAVIGATION = [
    {
        "title": "",
        "items": [
            {"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")},
            _list("Alarms", "notifications", "watch", "alarm")
            | {"badge": "gateway.watch.admin.overview.open_alarms"},
            _item("Explain", "help_center", "explain", "gateway.view_routingrecord"),
        ],
    },
    {
        "title": "Routing",
        "separator": True,
        "items": [
            _list("Tenants", "apartment", "tenants", "tenant"),
            _list("Plans", "sell", "tenants", "plan"),
            _list("Domains", "language", "tenants", "domain"),
            _list("Aliases", "alternate_email", "tenants", "alias"),
            _list("Role addresses", "badge", "tenants", "roleaddress"),
            _list("Subaddress rules", "call_split", "tenants", "subaddressrule"),
            _list("Mailboxes", "inbox", "tenants", "mailbox"),
            _list("Next hops", "dns", "tenants", "nexthop"),
            _list("Send-as identities", "outgoing_mail", "tenants", "sendasidentity"),
            _list("Moving in", "move_to_inbox", "tenants", "source"),
        ],
    },
    {
        "title": "Mail",
        "separator": True,
        "items": [
            _list("Routing records", "receipt_long", "gateway", "routingrecord"),
            _list("Deliveries", "local_shipping", "gateway", "delivery"),
            _item("Queue", "low_priority", "queue", "gateway.view_delivery"),
            _item(
                "Quarantine",
                "back_hand",
                "gateway_quarantined_changelist",
                "gateway.view_delivery",
            ),
            _list("Messages", "mail", "gateway", "message"),
            _list("Refusals", "block", "gateway", "refusalcount"),
        ],
    },
    {
        "title": "Operations",
        "separator": True,
        "items": [
            _list("Jobs", "checklist", "tenants", "job"),
            _item("Import", "upload", "import", "tenants.add_alias"),
            _list("Exports", "download", "tenants", "export"),
            _item("Erasure", "person_remove", "erasure", "tenants.erase_person"),
            _list("Schedules", "schedule", "django_celery_beat", "periodictask"),
            _list("Counters", "speed", "gateway", "counter"),
            _list("Alarm recipients", "campaign", "watch", "alarmrecipient"),
            _list("Users", "person", "auth", "user"),
            _list("Groups", "group", "auth", "group"),
            _list("Members of tenants", "diversity_3", "tenants", "membership"),
            _list("Second factors", "key", "mfa", "authenticator"),
        ],
    },
]

# A blue that keeps 4.5:1 against white at 600 and against the dark ground at 500.
PRIMARY = {
    "50": "oklch(97% .014 254.6)",
    "100": "oklch(93.2% .032 255.6)",
    "200": "oklch(88.2% .059 254.1)",
    "300": "oklch(80.9% .105 251.8)",
    "400": "oklch(70.7% .165 254.6)",
    "500": "oklch(66% .17 256)",
    "600": "oklch(52% .19 260)",
    "700": "oklch(46% .18 262)",
    "800": "oklch(40% .15 264)",
    "900": "oklch(35% .12 265)",
    "950": "oklch(27% .09 266)",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Mail routing",
    "SITE_HEADER": "Mail routing",
    "SITE_SUBHEADER": "Control panel",
    "SITE_SYMBOL": "forward_to_inbox",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("tenants/icon.svg")}
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {"primary": PRIMARY},
    "STYLES": [
        lambda request: static("tenants/panel.css"),
        lambda request: static("gateway/search.css"),
        lambda request: static("gateway/explain.css"),
        lambda request: static("watch/watch.css"),
    ],
    "SCRIPTS": [
        lambda request: static("tenants/panel.js"),
        lambda request: static("tenants/lookups.js"),
        lambda request: static("gateway/search.js"),
    ],
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": NAVIGATION},
    "ACCOUNT": {
        "navigation": [
            {"title": "Second factor", "link": reverse_lazy("mfa_index")},
            {"title": "Password", "link": reverse_lazy("account_change_password")},
        ]
    },
}
