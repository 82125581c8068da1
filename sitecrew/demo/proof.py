"""Proves what came of the orders, by doing what customers, staff and shops do."""

from collections.abc import Sequence
from html import unescape
from pathlib import Path

import httpx2

from foundation.errors import SitecrewError
from sitecrew.demo.console import signed_in
from sitecrew.demo.show import DemoOrder
from sitecrew.stack.first_admin import ADMIN
from sitecrew.stack.login import read_credentials, wordpress_login
from sitecrew.stack.machine import Running
from sitecrew.stack.servers.mailbox import Mailbox


def prove(orders: Sequence[DemoOrder], running: Running, password: str) -> None:
    """Look at each order's site, email and login, and at what the console shows of it; the password is its first
    admin's. Raises SitecrewError at the first thing that is not as it should be."""
    for order in orders:
        if not order.progress.succeeded:
            raise SitecrewError(f"order {order.order.order_id}: {order.progress.message}")
    _find_mails(running.mailbox, orders)
    for order in orders:
        _check_home_page(order)
        order.logged_in = _log_in(order)
    _look_at_console(running.console_url, orders, password)


def _find_mails(mailbox: Mailbox, orders: Sequence[DemoOrder]) -> None:
    received = mailbox.messages()
    for order in orders:
        mine = [mail for mail in received if order.order.customer.email in mail.recipients]
        if len(mine) != 1:
            raise SitecrewError(f"order {order.order.order_id}: {len(mine)} emails arrived instead of one")
        order.mail = str(mine[0].path)


def _check_home_page(order: DemoOrder) -> None:
    page = httpx2.get(order.completed.site.url, timeout=30, follow_redirects=True)
    title = str(order.completed.site.title)
    # WordPress beautifies quotes and dashes on its pages, so letters and digits decide.
    shown, wanted = (_letters(text) for text in (unescape(page.text), title))
    if page.status_code != httpx2.codes.OK or wanted not in shown:
        raise SitecrewError(f"{order.completed.site.url} answers {page.status_code} without its title {title!r}")


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _log_in(order: DemoOrder) -> bool | None:
    """Log in with what the letter says; None where there is nothing to log in to."""
    login = order.completed.login
    if login is None:
        return None
    if not wordpress_login(login.login_url, order.completed.site.url, read_credentials(Path(order.mail))):
        raise SitecrewError(f"the credentials in {order.mail} do not log in at {login.login_url}")
    return True


def _look_at_console(url: str, orders: Sequence[DemoOrder], password: str) -> None:
    """See each order in the console, and over the HTTP API with a token for the shop that placed them."""
    with signed_in(url, ADMIN, password) as visit:
        token = visit.new_token("demonstration", orders[0].source)
        for order in orders:
            order_id = order.order.order_id
            order.in_console = visit.until_done(order_id, order.completed.install_id)
            order.in_api = visit.told(order_id, token)
            if order.in_api != order.in_console:
                raise SitecrewError(f"order {order_id}: the console shows {order.in_console}, the API {order.in_api}")
