"""The lines that an operator adds to Postfix's main.cf and master.cf.

`deploy/postfix/` holds them as printed for the default address.
"""

import re
from pathlib import PurePosixPath

from gateway.postfix import names
from gateway.routing import replies
from gateway.routing.facts import Hop

# Where Debian's Postfix processes are locked in: below it, paths are told without it.
QUEUE_DIRECTORY = PurePosixPath("/var/spool/postfix")

MAIN_CF = """\
# Lines for Postfix's main.cf: the panel decides about its own domains, Postfix keeps port 25.
# Where a setting stands in your main.cf already, put your own tables and checks before ours.

# Domains whose mail is taken, their addresses, the mailboxes behind these, and where each goes.
relay_domains = socketmap:{endpoint}:domains
relay_recipient_maps = socketmap:{endpoint}:recipients
virtual_alias_maps = socketmap:{endpoint}:aliases
transport_maps = socketmap:{endpoint}:transport
# Both follow the tables above where nothing is said, and would ask for every message.
virtual_alias_domains =
fast_flush_domains =

# Each recipient is answered as the panel's own gateway would answer it. Our check stands before
# reject_unauth_destination, which says the same of strangers' domains in other words.
smtpd_relay_restrictions =
    permit_mynetworks
    permit_sasl_authenticated
    check_policy_service {endpoint}
    reject_unauth_destination

# Size and hourly limits are counted here, once a message is whole. Without these lines hourly
# limits of what Postfix delivers itself are looked at, but never used up.
smtpd_end_of_data_restrictions =
    permit_mynetworks
    permit_sasl_authenticated
    check_policy_service {endpoint}

# While the panel does not answer, senders are asked to come back.
smtpd_policy_service_default_action = {default_action}
smtpd_policy_service_timeout = 30s
smtpd_policy_service_try_limit = 2
smtpd_policy_service_retry_delay = 1s

# The panel's limits of a message, in octets and recipients (GATEWAY_MAX_MESSAGE_OCTETS,
# GATEWAY_MAX_RECIPIENTS).
message_size_limit = {max_message_octets}
smtpd_recipient_limit = {max_recipients}

# Nobody learns by VRFY what RCPT would tell.
disable_vrfy_command = yes
"""

MASTER_CF = """\
# Lines for Postfix's master.cf: how mail leaves for the panel's next hops and for its gateway.
panel-smtp  unix  -  -  -  -  -  smtp
    -o smtp_generic_maps=regexp:$config_directory/panel-mailboxes
    -o smtp_tls_security_level=may
panel-lmtp  unix  -  -  -  -  -  lmtp
    -o lmtp_generic_maps=regexp:$config_directory/panel-mailboxes
    -o lmtp_tls_security_level=may
"""

MAILBOXES = f"""\
# A file of its own beside main.cf, called panel-mailboxes (it needs no postmap). In Postfix's queue
# a mailbox has a private name, so that no alias and no other table takes its mail away; its next
# hop is given its own address.
/{names.MAILBOX_PATTERN}/ $1@$2
"""

# A listener on every address is reached on loopback.
_REACHABLE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]*)):([0-9]{1,5})\Z")


def parse_gateway(text: str) -> Hop:
    """The gateway as a next hop, out of `host:port`. Raises ValueError with a sentence."""
    found = _HOST_AND_PORT.match(text)
    if found is None or not 1 <= int(found[3]) <= 65535:
        raise ValueError("POSTFIX_GATEWAY has the form host:port or [address]:port.")
    host = found[1] or found[2] or ""
    return Hop(0, "smtp", _REACHABLE.get(host, host), int(found[3]), "none")


def endpoint(host: str, port: int, socket: str) -> str:
    """The listener as Postfix writes it; the socket where there is one."""
    if not socket:
        return f"inet:[{host}]:{port}" if ":" in host else f"inet:{host}:{port}"
    path = PurePosixPath(socket)
    inside = path.is_relative_to(QUEUE_DIRECTORY)
    return f"unix:{path.relative_to(QUEUE_DIRECTORY) if inside else path}"


def main_cf(endpoint: str, *, max_message_octets: int, max_recipients: int) -> str:
    """Lines for main.cf."""
    return MAIN_CF.format(
        endpoint=endpoint,
        default_action=replies.TROUBLE,
        max_message_octets=max_message_octets,
        max_recipients=max_recipients,
    )
