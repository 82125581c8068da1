"""Who is acting: recorded in every command that is sent."""

_named = ""


def call(name: str) -> None:
    """Act under a name (`--as`); an empty one means the logged-in user."""
    global _named  # noqa: PLW0603 - one process is one command line
    _named = name


def name() -> str:
    """Who is acting: `--as`, else $SITECREW_ACTOR, else the login name."""
    from foundation.config.sources import actor

    return (_named or actor()).strip()[:255] or "unknown"
