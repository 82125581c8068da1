"""Who holds the domains below and above those that are ordered."""

from collections.abc import Iterable
from json import dumps

from sqlalchemy import Connection, text

from schemas.values import Customer
from services.order_intake.orders import orders, path_of

_ELEMENTS = {
    "sqlite": "SELECT value FROM json_each(:{0})",
    "postgresql": 'SELECT value COLLATE "C" AS value FROM json_array_elements_text(CAST(:{0} AS json))',
}
"""How a database makes a table of a JSON array, whose values are compared byte by byte."""
_AROUND = """
    SELECT held.order_id, held.domain, held.customer
    FROM orders AS held WHERE held.holds_domain AND held.domain IN ({above})
    UNION
    SELECT held.order_id, held.domain, held.customer
    FROM ({paths}) AS wished CROSS JOIN orders AS held
    WHERE held.holds_domain AND held.domain_path > wished.value AND held.domain_path < rtrim(wished.value, '.') || '/'
"""  # "/" follows "."
_COLUMNS = (orders.c.order_id, orders.c.domain, orders.c.customer)
_QUERIES = {
    dialect: text(_AROUND.format(above=elements.format("above"), paths=elements.format("paths"))).columns(*_COLUMNS)
    for dialect, elements in _ELEMENTS.items()
}
"""Statements of one form, however many domains are looked up together."""


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
            "above": dumps(sorted({name for domain in wished for name in _above(domain)})),
            "paths": dumps(sorted(map(path_of, wished))),
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
