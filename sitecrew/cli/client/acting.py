"""Who acts: what the commands that are sent say of it."""

_named = ""


def call(name: str) -> None:
    """Act as somebody (`--as`); an empty name is whoever is logged in."""
    global _named  # noqa: PLW0603 - one process is one command line
    _named = name


def name() -> str:
    """The one who acts: as the line says, else $SITECREW_ACTOR, else the login name."""
    from foundation.config.sources import actor

    return (_named or actor()).strip()[:255] or "unknown"
