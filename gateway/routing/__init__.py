"""The pure core: what an address means and what is answered to it.

Rule of this package: values in, values out. No Django, no I/O, no clock, no randomness;
of third parties only what is pure is let in: `idna` (RFC 5891), `re2` (patterns in linear time)
and `msgspec` (values).
"""
