"""Counts with singular and plural."""


def count(number: int, thing: str, things: str = "") -> str:
    """`1 message`, `4 messages`."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"
