"""The ways to measure a running server: one file each, each a Measure of benchmarks/case.py."""
