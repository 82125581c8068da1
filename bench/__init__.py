"""Benchmarks. Compare figures of the same run only: speeds depend on the machine, ratios much less."""
