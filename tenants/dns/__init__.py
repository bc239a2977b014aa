"""What a domain publishes in DNS: expected, asked for, judged, remembered.

Rule of this folder: no Django and no model; settings come in as arguments, and of the gateway
only the words of gateway.routing are known. One idea per file: expected (what to publish),
keys (those that the settings name), answers (what a server said, and who asks), records (one
server's records), judge (all servers' answers), spf_cost (what an SPF record makes senders look
up), mta_sts (what a policy file is worth), observe (a whole check), standing (what a check makes
of the domain); resolver and policy_files alone reach the network.
"""

from tenants.dns.answers import (
    Delegation,
    Lookup,
    LookupFailedError,
    NameServer,
    Outcome,
    PolicyAnswer,
    PolicyFetcher,
    Resolver,
    ServerAnswer,
)
from tenants.dns.expected import (
    OPTIONAL_KINDS,
    Expected,
    Kind,
    expected_records,
    policy_file,
    policy_url,
    zone_file,
)
from tenants.dns.judge import Evidence, Finding, Hints, judge
from tenants.dns.observe import observe
from tenants.dns.policy_files import HttpsPolicyFetcher
from tenants.dns.records import State
from tenants.dns.resolver import DnspythonResolver
from tenants.dns.standing import Standing, Step, next_state

__all__ = [
    "OPTIONAL_KINDS",
    "Delegation",
    "DnspythonResolver",
    "Evidence",
    "Expected",
    "Finding",
    "Hints",
    "HttpsPolicyFetcher",
    "Kind",
    "Lookup",
    "LookupFailedError",
    "NameServer",
    "Outcome",
    "PolicyAnswer",
    "PolicyFetcher",
    "Resolver",
    "ServerAnswer",
    "Standing",
    "State",
    "Step",
    "expected_records",
    "judge",
    "next_state",
    "observe",
    "policy_file",
    "policy_url",
    "zone_file",
]
