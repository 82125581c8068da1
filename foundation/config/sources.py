"""Read settings from the environment and one file. The only module that reads the environment.

Empty means not given, everywhere: `${X:-}` in a compose file, an empty secret file, `name = ""` in the file.
"""

import json
import os
import pwd
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from foundation.errors import ConfigurationError

PREFIX = "SITECREW_"
CONFIG_VARIABLE = "SITECREW_CONFIG"
CONFIG_PLACES = (Path("sitecrew.toml"), Path("/etc/sitecrew/sitecrew.toml"))
API_ADDRESS, API_TOKEN = "SITECREW_API_URL", "SITECREW_API_TOKEN"
NO_SETTINGS = frozenset(
    {
        *(CONFIG_VARIABLE, "SITECREW_ACTOR", "SITECREW_IMAGE"),
        *(API_ADDRESS, API_TOKEN, f"{API_TOKEN}_FILE"),
    }
)
"""Variables with our prefix that are not settings: the command or compose.yaml reads them."""

KEEPS_EMPTY = "empty has a meaning of its own"
"""In a setting's metadata: `""` in the file is a value. An empty variable still means not given; use `off` there."""

_SERVICE_LINK = re.compile(
    r"SITECREW_([A-Z0-9_]+?_)??(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Variables that Kubernetes sets in every pod for each Service whose name begins with ours, and Docker for links."""

Known = Mapping[str, FieldInfo]
"""Every setting by its dotted name; `*` stands for a name that the settings' author chooses."""


def editor() -> str:
    """Return the command line of the user's editor: `VISUAL`, else `EDITOR`, else vi."""
    return os.environ.get("VISUAL", "").strip() or os.environ.get("EDITOR", "").strip() or "vi"


def actor() -> str:
    """Return who is acting, for the audit trail: `SITECREW_ACTOR`, else the login name of this process."""
    user = os.getuid()
    try:
        login = pwd.getpwuid(user).pw_name
    except KeyError:  # a container's user may have none
        login = f"uid {user}"
    return os.environ.get("SITECREW_ACTOR") or (os.environ.get("SUDO_USER") if user == 0 else None) or login


def api_address() -> str:
    """Return the address of the HTTP API that the command works with; empty for none."""
    return _cleaned(os.environ.get(API_ADDRESS, ""))


def api_token() -> str:
    """Return the token for the HTTP API. Raises ConfigurationError if there is none, or its file cannot be read."""
    place = _cleaned(os.environ.get(f"{API_TOKEN}_FILE", ""))
    token = os.environ.get(API_TOKEN, "").strip()
    if token and place:
        raise ConfigurationError(f"{API_TOKEN} and {API_TOKEN}_FILE are both set; keep one of them")
    if place:
        try:
            token = readable_text(Path(place)).strip()
        except (ValueError, OSError) as error:
            reason = str(error) if isinstance(error, ValueError) else f"cannot be read: {error.strerror}"
            raise ConfigurationError(f"{API_TOKEN}_FILE names a file that {reason}") from None
    if not token:
        raise ConfigurationError(
            f"{API_ADDRESS} is set, but no token: an admin creates one in the console; put it into {API_TOKEN}, or"
            f" into a file that {API_TOKEN}_FILE names"
        )
    return token


@dataclass(frozen=True)
class Variable:
    """A setting given by an environment variable or a command-line flag."""

    name: str
    """Name of the variable or the flag."""
    setting: str
    """Dotted name of the setting, with the names of servers and site types as the file spells them."""
    value: Any = field(repr=False)


@dataclass(frozen=True)
class Sources:
    """Everything that was given. `problems` holds one line for people per value that could not be used."""

    place: Path | None
    document: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)
    variables: Sequence[Variable]
    unknown: Sequence[str]
    problems: Sequence[str]

    def merged(self) -> dict[str, Any]:
        """Return the file's values, overridden by the environment's."""
        tree = _copied(self.document)
        for variable in self.variables:
            *folders, last = variable.setting.split(".")
            node = tree
            for folder in folders:
                node = node.setdefault(folder, {})
                if not isinstance(node, dict):
                    break  # the file has a value where a table must be; validation reports it
            else:
                node[last] = variable.value
        return tree


def read(path: Path | None, known: Known, environment: bool = True, flags: Sequence[Variable] = ()) -> Sources:
    """Read all sources; flags take precedence over variables. Raises ConfigurationError if the file is unusable."""
    place = settings_file(path)
    text = _settings_text(place) if place else ""
    document = _given(_parsed(text, place), known) if place else {}
    variables, unknown, problems = _variables(own_variables() if environment else {}, known, document)
    flagged = {flag.setting: replace(flag, value=_tidied(flag.value, known.get(flag.setting))) for flag in flags}
    variables = [*flagged.values(), *(variable for variable in variables if variable.setting not in flagged)]
    return Sources(place, document, text, variables, unknown, problems)


def read_only(allowed: Sequence[str], known: Known) -> tuple[Sources, list[str]]:
    """Read only the environment's settings that match the patterns; also return the other variables' names."""
    ours, others = {}, []
    for name, value in own_variables().items():
        setting = setting_of(name, known) or setting_of(re.sub("_FILE$", "", name, flags=re.IGNORECASE), known) or ""
        if any(fnmatchcase(setting, pattern) for pattern in allowed):
            ours[name] = value
        else:
            others.append(name)
    return Sources(None, {}, "", *_variables(ours, known, {})), sorted(others)


def settings_file(path: Path | None = None) -> Path | None:
    """Return the settings file: the one that is named, else the first that exists. Raises ConfigurationError if the
    named file does not exist."""
    variable = _cleaned(os.environ.get(CONFIG_VARIABLE, ""))
    named = path or (Path(variable) if variable else None)
    if named is None:
        return next((place for place in CONFIG_PLACES if _is_there(place)), None)
    if not _is_there(named):
        origin = "" if path else f" (named by {CONFIG_VARIABLE})"
        raise ConfigurationError(f"there is no settings file {named}{origin}")
    return named


def own_variables() -> dict[str, str]:
    """Return the environment variables with our prefix that are meant as settings, with their raw values."""
    ours = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    return {
        name: value
        for name, value in ours.items()
        if name not in NO_SETTINGS and value.strip() and not _is_service_link(name, value)
    }


def setting_of(name: str, known: Known) -> str | None:
    """Return the setting that a variable stands for, as `known` spells it (`servers.*.root`), or None."""
    words = name.lower().removeprefix(PREFIX.lower()).split("__")
    for path in known:
        parts = path.split(".")
        if len(parts) == len(words) and all(p in ("*", w) for p, w in zip(parts, words, strict=True)):
            return path
    return None


def variable_of(setting: str) -> str:
    """Return the name of the variable for a setting."""
    return PREFIX + setting.replace(".", "__").upper()


def readable_text(path: Path) -> str:
    """Read a UTF-8 text file, with or without a byte order mark. Raises OSError, or ValueError with a message that
    continues a sentence beginning with the file's name."""
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:200]:
        raise ValueError("is UTF-16, or not text at all; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"has a character in line {line} that is not UTF-8; save it as UTF-8") from None


def leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all values."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _is_there(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError as error:
        raise ConfigurationError(f"cannot read {place}: {error.strerror}") from None


def _is_service_link(name: str, value: str) -> bool:
    link = _SERVICE_LINK.fullmatch(name)
    return link is not None and (link[2] != "PORT" or "://" in value)


def _settings_text(place: Path) -> str:
    try:
        return readable_text(place)
    except ValueError as error:
        raise ConfigurationError(f"{place} {error}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {place}: {error.strerror}") from None


def _parsed(text: str, place: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{place} is not valid TOML: {error}") from None


def _given(document: Mapping[str, Any], known: Known, prefix: str = "") -> dict[str, Any]:
    """Return the file's values without empty ones, normalized."""
    kept = {}
    for name, value in document.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            kept[name] = _given(value, known, f"{path}.")
            continue
        info = known.get(setting_of(path.replace(".", "__"), known) or "")
        if info is None or value != "" or KEEPS_EMPTY in info.metadata:
            kept[name] = _tidied(value, info)
    return kept


def _tidied(value: Any, info: FieldInfo | None) -> Any:
    """Normalize text: choices to lower case, and `a, b` or JSON to a list where the setting is one."""
    if info is None or not isinstance(value, str):
        return value
    for kind in (info.annotation, *get_args(info.annotation)):  # the kind itself, or each of a union
        if get_origin(kind) is Literal and all(isinstance(choice, str) for choice in get_args(kind)):
            return value.strip().lower()
        if get_origin(kind) in {list, tuple, set, frozenset}:
            return _listed(value)
    return value


def _listed(text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text  # validation reports that it is not a list
    return [part.strip() for part in text.split(",") if part.strip()]


def _variables(
    ours: Mapping[str, str], known: Known, document: Mapping[str, Any]
) -> tuple[list[Variable], list[str], list[str]]:
    found: dict[str, Variable] = {}
    unknown, problems = [], []
    for name, text in sorted(ours.items()):
        bare = name[: -len("_FILE")] if name.upper().endswith("_FILE") else name
        by_file = bare != name and setting_of(bare, known) is not None
        variable = bare if by_file else name
        pattern = setting_of(variable, known)
        if pattern is None:
            unknown.append(name)
            continue
        try:
            value = _value(_from_file(text) if by_file else text, pattern, known[pattern])
        except (ValueError, OSError) as error:
            reason = str(error) if isinstance(error, ValueError) else f"cannot be read: {error.strerror}"
            problems.append(f"{name} names a file that {reason}")
            continue
        setting = _spelled(variable, pattern, document)
        if value == "":
            continue
        if setting in found:
            problems.append(f"{found[setting].name} and {name} set the same setting; keep one of them")
        found[setting] = Variable(name, setting, value)
    return list(found.values()), unknown, problems


def _from_file(place: str) -> str:
    place = _cleaned(place)
    return readable_text(Path(place)) if place else ""


def _value(text: str, pattern: str, info: FieldInfo) -> Any:
    """Return a variable's value. Environment files leave quotes and line ends in place, so they are stripped; in a
    secret, spaces and quotes may belong to it."""
    if "Secret" in str(info.annotation) and not pattern.endswith("_url"):
        return text.strip("\r\n") if text.strip() else ""
    text = _cleaned(text)
    return _tidied(text, info) if text else ""


def _cleaned(text: str) -> str:
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def _spelled(variable: str, pattern: str, document: Mapping[str, Any]) -> str:
    """Return a variable's setting as the file spells it: variable names have no case and no dashes, but names of
    servers and site types do."""
    node: Any = document
    words = []
    for word, part in zip(variable.lower().removeprefix(PREFIX.lower()).split("__"), pattern.split("."), strict=True):
        names = node if part == "*" and isinstance(node, Mapping) else ()
        words.append(next((name for name in names if _plain(name) == _plain(word)), word))
        node = node.get(words[-1]) if isinstance(node, Mapping) else None
    return ".".join(words)


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in document.items()}
