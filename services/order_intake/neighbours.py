"""Who holds the domains below and above those that are ordered."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import CompoundSelect, Connection, String, func, select, true, union_all

from foundation.store.in_list import in_list, unnested
from schemas.values import Customer
from services.order_intake.orders import orders, path_of


def _around(dialect: str) -> CompoundSelect[Any]:
    held = select(orders.c.order_id, orders.c.domain, orders.c.customer).where(orders.c.holds_domain)
    wished = select(unnested(dialect, "paths").label("path")).subquery("wished")
    end = func.rtrim(wished.c.path, ".", type_=String) + "/"  # "/" follows "."
    under = held.where(orders.c.domain_path > wished.c.path, orders.c.domain_path < end)
    if dialect == "postgresql":
        # The OFFSET makes it plan for one path, by the index; a join would compare each order with each path.
        of_one = under.correlate(wished).offset(0).lateral("of_one")
        under = select(of_one).select_from(wished.join(of_one, true()))
    return union_all(held.where(in_list(orders.c.domain_path, dialect, "above")), under)


_QUERIES = {dialect: _around(dialect) for dialect in ("sqlite", "postgresql")}


class Neighbours:
    """Orders that hold domains, found by the domains that are around theirs."""

    def __init__(self) -> None:
        self._at: dict[str, dict[str, Customer]] = {}
        self._below: dict[str, dict[str, Customer]] = {}

    @classmethod
    def load(cls, connection: Connection, domains: Iterable[str]) -> "Neighbours":
        """Those around the domains, which are looked up together."""
        wished = set(domains)
        around = {
            "above": sorted({path_of(name) for domain in wished for name in _above(domain)}),
            "paths": sorted(map(path_of, wished)),
        }
        known = cls()
        for order_id, domain, customer in connection.execute(_QUERIES[connection.dialect.name], around):
            known.add(order_id, domain, customer)
        return known

    def add(self, order_id: str, domain: str, customer: Customer) -> None:
        """The order holds the domain from now on."""
        self._at.setdefault(domain, {})[order_id] = customer
        for name in _above(domain):
            self._below.setdefault(name, {})[order_id] = customer

    def of(self, domain: str) -> dict[str, Customer]:
        """The customers of what is held below and above the domain, by order."""
        around = dict(self._below.get(domain, {}))
        for name in _above(domain):
            around |= self._at.get(name, {})
        return around


def _above(domain: str) -> list[str]:
    """The names that it is below, but for its top-level domain."""
    labels = domain.split(".")
    return [".".join(labels[number:]) for number in range(1, len(labels) - 1)]
