"""Addresses of RabbitMQ nodes: what may stand in `amqp_url`, and what is wrong with one that can't be read."""

from urllib.parse import parse_qsl, urlsplit

from foundation.errors import ConfigurationError

_SCHEMES = ("amqp://", "amqps://")
_HINT = (
    "Write it like amqp://user:password@host:5672/vhost. Percent-encode , # / ? @ : % in user, password and virtual "
    "host (, is %2C, # is %23, / is %2F, @ is %40); a comma separates nodes; IPv6 addresses go in brackets"
)


def nodes_of(text: str) -> list[str]:
    """The addresses in `amqp_url`, one a node. Raises ConfigurationError, which repeats nothing of them:
    where they can't be read, nobody knows which part is the password."""
    if fault := fault_of(text):
        raise ConfigurationError(f"amqp_url {fault}")
    return [_with_default_host(node) for node in _split(text)]


def fault_of(text: str) -> str:
    """What is wrong with a value of `amqp_url`, and how to write it; empty if nothing is."""
    nodes = _split(text)
    if not nodes:
        return f"is empty. {_HINT}"
    for number, node in enumerate(nodes, 1):
        if fault := _fault(node):
            which = f" (address {number} of {len(nodes)})" if len(nodes) > 1 else ""
            return f"is not a valid AMQP URL{which}: {fault}. {_HINT}"
    return ""


def options_of(node: str) -> dict[str, str]:
    """What a node's address says after its `?`."""
    return dict(parse_qsl(urlsplit(node).query, keep_blank_values=True))


def _split(text: str) -> list[str]:
    return [node.strip() for node in text.split(",") if node.strip()]


def _fault(node: str) -> str:
    try:
        parts = urlsplit(node)
        port = parts.port
    except ValueError:  # of brackets as well
        return "its host or its port can't be read (is there a : or / in the password?)"
    faults = {
        "it does not begin with amqp:// or amqps://": not node.startswith(_SCHEMES),
        "there is white space in it": any(letter.isspace() or not letter.isprintable() for letter in node),
        "there is a # in it": "#" in node,
        "there is an @ after the first / or ? (is that in the password?)": "@" in parts.path + parts.query,
        "it names no host": not parts.hostname,
        "0 is no port to connect to": port == 0,
        "there is a / in its virtual host": "/" in parts.path[1:] and parts.path != "//",
    }
    return next((fault for fault, is_there in faults.items() if is_there), "")


def _with_default_host(node: str) -> str:
    """`//` at the end is how some clients write the virtual host `/`."""
    parts = urlsplit(node)
    return parts._replace(path="/%2F").geturl() if parts.path == "//" else node
