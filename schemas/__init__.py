"""The contract: every event and command that producers, services and staff exchange.

This package depends only on pydantic and the standard library, so a producer or a tool may vendor it.
"""
