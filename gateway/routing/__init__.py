"""The pure core: what an address means and what is answered to it.

Rule of this package: values in, values out. No Django, no I/O, no clock, no randomness;
of third parties only two pure tables are let in: `idna` (RFC 5891) and `re2` (patterns in
linear time).
"""
