"""The statements of a read. Each returns a kind and a JSON array, in the order of rows.py.

READ answers most recipients by itself and was kept small for that: what few of them need (rules,
holders, smarthosts, identities) is a second question, READ_DETAILS. The executor starts every part
of a statement, needed or not: with all of it in one, a look-up took twice as long.
"""

from gateway.link import Statement

HOP = "json_build_array(h.id, h.protocol, h.host, h.port, h.tls, h.calls_ahead)"
MAILBOX = f"json_build_array(m.id, m.address, {HOP})"
# An array of a subquery costs half of json_agg.
TARGETS = f"""to_json(ARRAY(
    SELECT json_build_array(t.id, t.kind, t.forward_to, t.options,
        CASE WHEN m.id IS NOT NULL THEN {MAILBOX} END)
    FROM tenants_target t
    LEFT JOIN tenants_mailbox m ON m.id = t.mailbox_id
    LEFT JOIN tenants_nexthop h ON h.id = m.next_hop_id
    WHERE {{whose}} ORDER BY t.position, t.id))"""

# Rows: now, domain, address; $1 keys, $2 domains, $3 whether counts are asked for in any case.
# Counters stand in columns of their own, so that what changes with each message and what changes
# with an edit stay apart. A window's total only shrinks with time: its counts, which cost more than
# the rest of the row, are needed only where the total has reached the limit.
HOURLY = """SELECT json_build_array(c.minute, c.total,
    CASE WHEN $3::bool OR c.total >= {limit} THEN c.counts END)
    FROM gateway_counter c WHERE c.key ="""
STORED = "SELECT json_build_array(c.total, c.full_since) FROM gateway_counter c WHERE c.key ="
TENANT_RATE = "coalesce(n.messages_per_hour, p.messages_per_hour)"
READ = Statement(
    "read",
    f"""
SELECT 'now', to_json(clock_timestamp()), NULL::json, NULL::json
UNION ALL
SELECT 'domain', json_build_array(d.id, d.name, d.state, d.environment, d.delimiters,
    d.local_part_pattern, d.local_part_max_octets, d.hides_disabled, d.default_role_holder_id,
    d.smarthost_id, n.id, n.name, n.state, n.state_since,
    coalesce(n.max_message_octets, p.max_message_octets),
    {TENANT_RATE},
    coalesce(n.stored_octets, p.stored_octets), coalesce(n.retention_days, p.retention_days, 30),
    json_build_array(n.filters_mail, n.on_spam, n.on_suspicious, n.on_virus)),
    CASE WHEN {TENANT_RATE} IS NOT NULL
        THEN ({HOURLY.format(limit=TENANT_RATE)} 'rate:tenant:' || n.id) END,
    CASE WHEN coalesce(n.stored_octets, p.stored_octets) IS NOT NULL
        THEN ({STORED} 'stored:tenant:' || n.id) END
FROM tenants_domain d
JOIN tenants_tenant n ON n.id = d.tenant_id
JOIN tenants_plan p ON p.id = n.plan_id
WHERE d.name = ANY($2::text[]) AND d.state IN ('active', 'degraded')
UNION ALL
SELECT 'address', json_build_array(a.id, a.domain_id, a.key, a.kind, a.enabled, a.expires_at,
    a.allowed_senders, a.accepts_forwards_from, a.max_message_octets, a.rate_per_hour,
    a.holder_id, {TARGETS.format(whose="t.address_id = a.id")},
    CASE WHEN a.authentication <> '' OR a.sender_match = 'author' THEN
        json_build_array(a.authentication, a.authentication_failure, a.signing_domain,
            a.sender_match = 'author') END,
    CASE WHEN a.filters_mail <> '' OR a.on_spam <> '' OR a.on_suspicious <> '' OR a.on_virus <> ''
        THEN json_build_array(nullif(a.filters_mail, '') = 'on', nullif(a.on_spam, ''),
            nullif(a.on_suspicious, ''), nullif(a.on_virus, '')) END),
    CASE WHEN a.rate_per_hour IS NOT NULL
        THEN ({HOURLY.format(limit="a.rate_per_hour")} 'rate:address:' || a.id) END, NULL
FROM tenants_address a
WHERE a.key = ANY($1::text[])
""",
)

# Rows: rule, mailbox, hop, identity; $1 bases, $2 mailboxes, $3 hops, $4 listed keys.
READ_DETAILS = Statement(
    "read_details",
    f"""
SELECT 'rule', json_build_array(r.address_id, r.detail, r.action,
    {TARGETS.format(whose="t.rule_id = r.id")})
FROM tenants_subaddressrule r WHERE r.address_id = ANY($1::bigint[])
UNION ALL
SELECT 'mailbox', {MAILBOX}
FROM tenants_mailbox m JOIN tenants_nexthop h ON h.id = m.next_hop_id
WHERE m.id = ANY($2::bigint[])
UNION ALL
SELECT 'hop', {HOP} FROM tenants_nexthop h WHERE h.id = ANY($3::bigint[])
UNION ALL
SELECT 'identity', json_build_array(i.key) FROM tenants_sendasidentity i
WHERE i.key = ANY($4::text[]) AND i.state = 'verified'
    AND (i.expires_at IS NULL OR i.expires_at > clock_timestamp())
""",
)

# Rows: delivery id, envelope sender of its message; $1 delivery ids.
READ_SENDERS = Statement(
    "read_senders",
    """
SELECT d.id, m.sender FROM gateway_delivery d JOIN gateway_message m ON m.id = d.message_id
WHERE d.id = ANY($1::uuid[])
""",
)

# Rows: mailbox; $1 mailbox ids.
READ_MAILBOXES = Statement(
    "read_mailboxes",
    f"""
SELECT {MAILBOX}
FROM tenants_mailbox m JOIN tenants_nexthop h ON h.id = m.next_hop_id
WHERE m.id = ANY($1::bigint[])
""",
)
