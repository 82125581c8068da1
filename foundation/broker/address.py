"""Addresses of RabbitMQ nodes: what `amqp_url` may contain, and what is wrong with an invalid one."""

from urllib.parse import parse_qsl, unquote, urlsplit

from foundation.errors import ConfigurationError

_SCHEMES = ("amqp://", "amqps://")
_HINT = (
    "Expected amqp://user:password@host:5672/vhost. Percent-encode , # / ? @ : % in user, password and virtual "
    "host (, is %2C, # is %23, / is %2F, @ is %40); a comma separates nodes; IPv6 addresses go in brackets"
)


def nodes_of(text: str) -> list[str]:
    """The addresses in `amqp_url`, one per node. Raises ConfigurationError, which repeats nothing of them:
    in an invalid one, any part may be the password."""
    if fault := fault_of(text):
        raise ConfigurationError(f"amqp_url {fault}")
    return [_with_default_host(node) for node in _split(text)]


def fault_of(text: str) -> str:
    """What is wrong with a value of `amqp_url`, and how to write it; empty if it is valid."""
    nodes = _split(text)
    if not nodes:
        return f"is empty. {_HINT}"
    for number, node in enumerate(nodes, 1):
        if fault := _fault(node):
            which = f" (address {number} of {len(nodes)})" if len(nodes) > 1 else ""
            return f"is not a valid AMQP URL{which}: {fault}. {_HINT}"
    return ""


def options_of(node: str) -> dict[str, str]:
    """The query parameters of a node's address."""
    return dict(parse_qsl(urlsplit(node).query, keep_blank_values=True))


def vhost_of(text: str) -> str:
    """The virtual host in `amqp_url`. Raises ConfigurationError."""
    return unquote(urlsplit(nodes_of(text)[0]).path[1:]) or "/"


def shown(text: str) -> str:
    """`amqp_url` with its passwords redacted."""
    return ",".join(map(_redacted, nodes_of(text)))


def _redacted(node: str) -> str:
    own, at, place = node.rpartition("@")
    return f"{own.rpartition(':')[0]}:[redacted]{at}{place}" if urlsplit(node).password else node


def _split(text: str) -> list[str]:
    return [node.strip() for node in text.split(",") if node.strip()]


def _fault(node: str) -> str:
    try:
        parts = urlsplit(node)
        port = parts.port
    except ValueError:  # of brackets as well
        return "its host or port is not valid (is there a : or / in the password?)"
    faults = {
        "it must start with amqp:// or amqps://": not node.startswith(_SCHEMES),
        "it contains white space": any(letter.isspace() or not letter.isprintable() for letter in node),
        "it contains a #": "#" in node,
        "it contains an @ after the first / or ? (is that part of the password?)": "@" in parts.path + parts.query,
        "it has no host": not parts.hostname,
        "its user has no password": bool(parts.username) and not parts.password,
        "it has neither user nor password before the @": "@" in parts.netloc and not (parts.username or parts.password),
        "port 0 is not valid": port == 0,
        "its virtual host contains a /": "/" in parts.path[1:] and parts.path != "//",
    }
    return next((fault for fault, is_there in faults.items() if is_there), "")


def _with_default_host(node: str) -> str:
    """`//` at the end is how some clients write the virtual host `/`."""
    parts = urlsplit(node)
    return parts._replace(path="/%2F").geturl() if parts.path == "//" else node
