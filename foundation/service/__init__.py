"""A service as a process. The only package that imports all others."""
