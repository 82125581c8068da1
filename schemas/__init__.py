"""The contract: every event and command that travels between producers, services and staff.

This package needs pydantic and the standard library only, so a producer or a tool may vendor it.
"""
