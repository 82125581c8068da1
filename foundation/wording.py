"""Put pydantic's validation errors into words for people who don't know pydantic."""

import re
from collections.abc import Mapping
from typing import Any

_WORDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite_number": "must be a finite number",
    "bool": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
    "list_type": 'must be a list, like ["a", "b"]',
    "tuple_type": 'must be a list, like ["a", "b"]',
    "dict_type": "must be a table of names and values",
    "model_type": "must be a table of names and values",
    "missing": "must be given",
    "extra_forbidden": "is unknown",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than": "must be less than {lt:g}",
    "literal_error": "must be one of {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
}
"""By the type of pydantic's error, or a prefix of it."""

_PATTERNS = {
    r"^[0-9a-f]{64}$": "must be a SHA-256 checksum: 64 digits and letters from a to f",
    r"^[^/\x00]{1,255}$": "must be a name without a slash",
    r"^[A-Za-z0-9.:%_/-]*$": "must be letters, digits and . : % _ / -",
    r"^[a-z][a-z0-9_]{0,39}$": "must be a lower-case letter, then up to 39 lower-case letters, digits and underscores",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": "must be 1 to 64 letters, digits, dots, underscores and dashes (. _ -)",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$": "must be 1 to 100 letters, digits, dots, underscores and dashes (. _ -)",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}-g[0-9]{1,6}$": "must be the id of an install, like 1042-g1",
    r"^[a-z][a-z0-9]{2,15}$": "must be 3 to 16 lower-case letters and digits, and begin with a letter",
    r"^[a-z][a-z0-9-]{0,31}$": "must be a lower-case letter, then up to 31 lower-case letters, digits and dashes",
    r"^[A-Za-z][A-Za-z0-9]*([/_+-][A-Za-z0-9]+)*$": "must be the name of a time zone, like Europe/Berlin or UTC",
    r"^/[A-Za-z0-9%/_.-]*$": "must be a permalink structure like /%postname%/",
}


def in_words(fault: Mapping[str, Any]) -> str:
    """Return one of a ValidationError's `errors()` as text that follows the field's name. Never repeats the value."""
    kind, context, field = fault["type"], fault.get("ctx", {}), str(fault["loc"][-1]) if fault["loc"] else ""
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], "has characters that are not allowed here")
    if field.endswith("_seconds") and kind.startswith("float"):
        return "must be a number of seconds, without a unit"
    if kind in {"too_short", "string_too_short"} and context["min_length"] == 1:
        return "must not be empty"
    found = next((words for name, words in _WORDS.items() if kind == name or kind.startswith(f"{name}_")), None)
    if found:
        return found.format(**{**context, "expected": str(context.get("expected", "")).replace("'", "")})
    message = re.sub("^Value error, ", "", fault["msg"]).replace("Input should be", "must be")
    return message.replace("value is not a valid email address", "is not a valid email address")
