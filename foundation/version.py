"""Which version of Sitecrew this is."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """Return the version of the installed package; to find and read it takes milliseconds."""
    return metadata.version("sitecrew")
