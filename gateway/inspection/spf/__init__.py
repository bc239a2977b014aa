"""SPF (RFC 7208): record, macros and check_host()."""
