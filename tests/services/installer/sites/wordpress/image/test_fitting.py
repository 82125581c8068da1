"""Orders whose values WordPress would change are left to WordPress."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.installer.sites import Job
from services.installer.sites.wordpress.image.fitting import require_fitting, stored_title
from services.installer.sites.wordpress.image.templates import Unfit

JOB = Job(
    install_id="o1-g1",
    order_id="o1",
    generation=1,
    fence=1,
    username="ann42",
    domain="shop.example",
    url="https://shop.example/",
    title='Ann\'s Shop & Café: 9x9 -- "best"',
    admin_email="ann.b+shop@mail.example.org",
    seal=str,
    deadline=datetime.now(UTC),
)


def test_usual_orders_fit() -> None:
    require_fitting(JOB)
    require_fitting(replace(JOB, url="http://192.0.2.7:8080/~ann42/", title="北京 🙂"))


@pytest.mark.parametrize(
    "changes",
    [
        {"admin_email": "o'hara@example.org"},
        {"admin_email": "ann@[192.0.2.7]"},
        {"admin_email": "ann@localhost"},
        {"admin_email": "änn@example.org"},
        {"username": "ann_42"},
        {"username": "Ann"},
        {"title": "Fish &amp; Chips"},
        {"title": "&#128;"},
        {"title": " Ann"},
        {"title": "a\tb"},
        {"title": "\"'"},
        {"url": "https://shop.example/a b/"},
        {"url": "https://shop.example"},
    ],
)
def test_what_wordpress_might_change_does_not_fit(changes: dict[str, str]) -> None:
    with pytest.raises(Unfit):
        require_fitting(replace(JOB, **changes))  # type: ignore[arg-type]


def test_a_title_is_stored_escaped() -> None:
    assert stored_title("""<b> "A" & 'B'""") == "&lt;b&gt; &quot;A&quot; &amp; &#039;B&#039;"
