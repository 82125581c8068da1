"""Hashes of passwords as WordPress reads them."""

import json
import subprocess
from pathlib import Path

import pytest

from services.installer.sites.wordpress.image.hashing import portable_hash
from tests.support.daemons import require

_PHPASS = Path("/usr/share/wordpress/wp-includes/class-phpass.php")
_ASK = """
define('ABSPATH', '/');
require $argv[1];
[$password, $hash] = json_decode(stream_get_contents(STDIN));
exit((new PasswordHash(8, true))->CheckPassword($password, $hash) ? 0 : 3);
"""


@pytest.mark.parametrize(("password", "opens"), [("kX7-pq_2LmN9", True), ("hällo wörld", True), ("another", False)])
def test_wordpress_opens_by_our_hash(password: str, opens: bool) -> None:
    require("php")

    of = password if opens else "kX7-pq_2LmN9"
    ran = subprocess.run(
        ["php", "-r", _ASK, str(_PHPASS)], input=json.dumps([password, portable_hash(of)]), text=True, check=False
    )
    assert ran.returncode == (0 if opens else 3)


def test_each_hash_has_a_salt_of_its_own() -> None:
    assert len({portable_hash("one password") for _ in range(5)}) == 5
