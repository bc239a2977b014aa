"""Moving in from what an installation uses today, and proof before the switch that nothing changes.

A source (a dump, a database, map files) becomes an Inventory in words of our own; the plan, shadow
mode and their pages know nothing of whose tables they were.
"""
