"""`order import`: pending installs of another system become orders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.order_intake.states import OrderState
from tests.support.cli import Ran
from tests.support.house import House

Command = Callable[..., Ran]

PENDING = """\
\ufeffService ID;Domain;Application;First Name;Last Name;Email;Title;Status;Priority
71;Bäckerei.example;WordPress;Jo;Müller;jo@customer.example;"Brot; Brötchen";Pending;High
72;shop.example;;Ann;Lee;ann@customer.example;;Installed;
73;kiosk.example;;Kim;Lo;kim@customer.example;;Failed;
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "pending.csv"
    file.write_text(PENDING)
    return file


def test_pending_installs_are_placed_as_orders_and_again_changes_nothing(
    house: House, sitecrew: Command, table: Path
) -> None:
    for _ in range(2):
        ran = sitecrew("order", "import", str(table), "--site-type", "static", "--prefix", "whmcs.")
        assert (ran.exit_code, ran.stdout) == (0, "whmcs.71\nwhmcs.73\n")
        assert "1 row left out: not pending" in ran.stderr
        house.settle()
    rows = {row["order_id"]: row for row in sitecrew("order", "list", "--json").json}
    assert rows.keys() == {"whmcs.71", "whmcs.73"}
    assert {row["state"] for row in rows.values()} == {OrderState.CREATED}
    assert rows["whmcs.71"]["domain"] == "xn--bckerei-5wa.example"
    assert house.event_types().count("order.known") == 2
    assert house.parked() == []


def test_a_dry_run_sends_nothing(house: House, sitecrew: Command, table: Path) -> None:
    ran = sitecrew("order", "import", str(table), "--site-type", "static", "--dry-run")
    assert ran.exit_code == 0
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert lines == [["71", "wordpress", "xn--bckerei-5wa.example"], ["73", "static", "kiosk.example"]]
    [first, _] = sitecrew("order", "import", str(table), "--site-type", "static", "--dry-run", "--json").json
    assert (first["customer"]["name"], first["blog_name"]) == ("Jo Müller", "Brot; Brötchen")
    assert first["priority"] == "high"
    house.settle()
    assert sitecrew("order", "list", "--json").json == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2\n", "line 1: no column order_id, domain, email, name; the columns are a, b"),
        (b"id,domain,name,email\n1,no domain,Jo,jo@customer.example\n", "line 2: domain: is not a host name"),
        (b"id,domain,name,email\n1,shop.example,Jo,jo@customer.example\n", "line 2: site_type: must be given"),
        (b"id,domain,name,email\n", "the list is empty"),
        ("id,domain,name,email\n1,shop.example,Jö,x@y.example\n".encode("latin-1"), "is not UTF-8"),
        (b'id,domain,name,email\n1,"shop".example,Jo,x@y.example\n', "line 2: "),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_as_a_whole(
    house: House, sitecrew: Command, tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    ran = sitecrew("order", "import", str(file))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert reason in ran.stderr
    house.settle()
    assert house.events() == []
