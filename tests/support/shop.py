"""A shop that places orders with the examples for producers, run as their readers would."""

import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "producers"
PACKAGES = ROOT / "tests" / "node" / "node_modules"

PRODUCERS = {
    "python": (sys.executable, "python/place_order.py"),
    "php": ("php", "php/place_order.php"),
    "javascript": ("node", "javascript/place-order.mjs"),
    "curl": ("sh", "curl/place-order.sh"),
}
BINARY = {"python-binary": (*PRODUCERS["python"], "--binary")}

PASSWORD = "canary+/@:%1"
"""The producer's password, with characters that must be encoded in a URL."""
CUSTOMER = 'Zoë "Zo" O\'Hara & $HOME \\'
"""A text with characters that must be escaped in JSON and for a shell."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """The broker that an example connects to, and its credentials."""

    amqp_port: int
    management_port: int
    vhost: str = "/"
    password: str = PASSWORD
    tls: bool = False

    def amqp_url(self, user: str = "shop") -> str:
        """The broker's URL, with everything in it encoded."""
        secret, vhost = quote(self.password, safe=""), quote(self.vhost, safe="")
        return f"amqp{'s' * self.tls}://{user}:{secret}@127.0.0.1:{self.amqp_port}/{vhost}"

    @property
    def management_url(self) -> str:
        return f"http{'s' * self.tls}://127.0.0.1:{self.management_port}"


@dataclass(frozen=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str


class Shop:
    """Runs the examples: each as a file of its own, with the packages that it declares."""

    def __init__(self, directory: Path, place: Place) -> None:
        self.directory = directory
        self.place = place
        shutil.copytree(EXAMPLES, directory, dirs_exist_ok=True)
        (directory / "node_modules").symlink_to(PACKAGES)

    def order(self, producer: str, order: tuple[str, ...], place: Place | None = None) -> Ran:
        """Run a producer's example, and check that it reveals no password."""
        place = place or self.place
        netrc = self.directory / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login shop password {place.password}\n")
        ran = subprocess.run(
            [*{**PRODUCERS, **BINARY}[producer], *order],
            cwd=self.directory,
            env={
                "PATH": os.environ["PATH"],
                "AMQP_URL": place.amqp_url(),
                "MANAGEMENT_URL": place.management_url,
                "VHOST": quote(place.vhost, safe=""),
                "NETRC": str(netrc),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for secret in (place.password, quote(place.password, safe="")):
            assert secret not in ran.stdout + ran.stderr
        return Ran(ran.returncode, ran.stdout, ran.stderr)


def an_order(**changes: str) -> tuple[str, ...]:
    """Return an example's arguments, for a unique order."""
    number = next(_numbers)
    fields = {
        "order_id": f"shop-{number}",
        "site_type": "static",
        "domain": f"shop{number}.example",
        "name": CUSTOMER,
        "email": f"zoe{number}@customer.example",
        "title": f'Zoë\'s "shop" <No. {number}> ½',
    }
    return tuple({**fields, **changes}.values())
