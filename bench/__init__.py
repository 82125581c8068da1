"""Benchmarks. Figures of one run are compared with each other only: machines differ, ratios hold."""
