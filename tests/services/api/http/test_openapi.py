"""The API does what its OpenAPI document says, whatever it is sent."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.schemas import APIOperation, BaseSchema

from services.api.access.identity import Scope
from services.api.http import commands
from services.api.http.app import api
from tests.support.api import ORDER, HouseWithApi, client

DOCUMENT = api().openapi()
OPERATIONS = [f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods]


class Caller(NamedTuple):
    address: str
    token: str


LOOSE = ("positive_data_acceptance", "negative_data_rejection")
"""A schema can't say which cursors there are, or which names can be domains; and what forms and PHP send empty is taken
as not given."""


@pytest.fixture(scope="module", autouse=True)
def nobody_waits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "LONGEST_WAIT", 0)
        yield


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> HouseWithApi:
    house = HouseWithApi(tmp_path_factory.mktemp("house"), api={"address": "127.0.0.1:0", "requests_per_minute": 0})
    token = house.token("/shop", Scope.ADMIN)
    house.api.server._app.state.doorkeeper.failures.per_minute = 0  # many unknown tokens come from here
    # The document's examples are about this order.
    order = {**ORDER, "order_id": "order-1042"}
    assert client(house, token).post("/v1/orders", json=order).status_code == 202
    house.settle()
    return house


@pytest.fixture(scope="module")
def caller(house: HouseWithApi) -> Iterator[Caller]:
    token = house.token("/tester", Scope.ADMIN)
    with house.served() as address:
        yield Caller(address, token)


@settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def is_as_documented(case: Case[Any], caller: Caller) -> None:
    headers = {"Authorization": f"Bearer {caller.token}"}
    case.call_and_validate(
        base_url=caller.address, headers=headers, excluded_checks=list[Any](CHECKS.get_by_names(LOOSE))
    )


@pytest.fixture(scope="module")
def tests() -> dict[str, Callable[..., None]]:
    """Tests by operation, made as schemathesis' plugin makes them, but not in each worker: it takes long."""
    load_all_checks()
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    return {one.label: made(schema, one) for one in found}


def made(schema: BaseSchema, operation: APIOperation[Any, Any, Any, Any]) -> Callable[..., None]:
    return build_operation_test(
        config=schema.config,
        operation=operation,
        test_func=is_as_documented,
        given_kwargs={},
        feedback=FeedbackSources(),
    )


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one != "GET /v1/events"])  # never ends
def test_every_answer_is_as_documented(operation: str, tests: dict[str, Callable[..., None]], caller: Caller) -> None:
    tests[operation](caller=caller)


def test_every_route_is_in_the_document_and_every_operation_is_tried(tests: dict[str, Callable[..., None]]) -> None:
    included = [found for one in api().routes if (found := getattr(one, "original_router", None))]
    assert {f"/v1{route.path}" for router in included for route in router.routes} == set(DOCUMENT["paths"])
    assert list(tests) == OPERATIONS


def test_operations_have_names_and_say_what_they_do() -> None:
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert sorted(set(names)) == sorted(names)
    assert all(operation["description"] and operation["tags"] for operation in operations)


def test_the_document_is_served_to_anybody(house: HouseWithApi) -> None:
    answer = client(house).get("/v1/openapi.json")
    assert answer.json() == DOCUMENT


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("DELETE", "/v1/orders", 405)])
def test_what_is_not_there_is_a_problem(house: HouseWithApi, method: str, path: str, status: int) -> None:
    answer: Any = client(house).request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["code"]
