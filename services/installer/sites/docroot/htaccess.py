"""`.htaccess`: the one file that host, customer and application share, each with their own lines."""

import re

_NAME = "the application"
_BLOCK = r"^# BEGIN {0}\r?\n.*?^# END {0}\r?\n?"
_OWN = re.compile(r"\A# BEGIN ([^\n]+)\n.*^# END \1\n?\Z", re.DOTALL | re.MULTILINE)


def own(text: str) -> str:
    """An application's lines between markers, as WordPress and others write them, to recognize them later."""
    text = text if text.endswith("\n") or not text else f"{text}\n"
    return text if _OWN.match(text) else f"# BEGIN {_NAME}\n{text}# END {_NAME}\n"


def merged(there: str, application: str) -> str:
    """The present text with the application's lines (see `own`) replaced, or appended if there were none."""
    found = _OWN.match(application)
    name = found[1] if found else _NAME
    block = re.compile(_BLOCK.format(re.escape(name)), re.DOTALL | re.MULTILINE)
    if block.search(there):
        return block.sub(lambda _: application, there, count=1)
    there = there if there.endswith("\n") or not there else f"{there}\n"
    return f"{there}{application}"
