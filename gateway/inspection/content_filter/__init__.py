"""The content filter: Rspamd asked about a message before 250, and through it a virus scanner.

rspamd.py speaks its protocol, breaker.py knows when it is of no use to ask, filtering.py is the
Inspector. What a verdict leads to is judged in gateway/routing/content_filter.py.
"""
