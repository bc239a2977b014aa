"""Side by side with peers: the same rows, the same machine, the same load.

One server is up at a time; the rig starts and stops everything it measures in a
private folder, over loopback, bounded in time and number. `python -m benchmarks`
prints the table; a new peer is one file in `benchmarks/peers/`.
"""
