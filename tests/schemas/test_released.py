"""The gate: what was released is kept, or `script/lint` fails with the reason."""

from dataclasses import replace
from typing import Literal

from schemas import released
from schemas.catalogue import CATALOGUE, EventType
from schemas.files import Golden
from schemas.values import Line, Model


class Asked(Model):
    """Somebody asked for a meal."""

    table: int
    wish: Line | None = None


class Served(Model):
    """A meal was served."""

    table: int
    dish: Line
    course: Literal["soup", "pie"] = "pie"


ASKED = EventType("sitecrew.meal.asked.v1", Asked, "orders")
SERVED = EventType("sitecrew.meal.served.v1", Served, "events")
GOLDEN = [Golden("meal.asked.v1", "full", b"{}"), Golden("meal.served.v1", "full", b"{}")]
RELEASED = released.contract("1.0", [ASKED, SERVED], GOLDEN)

PRODUCERS = "Events from old producers would be rejected or change their meaning."
CONSUMERS = "Old consumers would receive what they were promised never to receive."
WHAT_TO_DO = "Undo it, or add sitecrew.meal.served.v2 and keep v1 beside it."


def broken(*catalogue: EventType, golden: list[Golden] = GOLDEN) -> list[str]:
    return list(released.broken(RELEASED, catalogue, golden))


def test_what_is_as_it_was_released_breaks_nothing() -> None:
    assert broken(ASKED, SERVED) == []


def test_new_types_versions_and_optional_fields_break_nothing() -> None:
    class MoreServed(Served):
        """A meal was served, and more is told of it."""

        cook: Line | None = None

    class Eaten(Model):
        """A meal was eaten."""

    catalogue = (
        ASKED,
        replace(SERVED, model=MoreServed),
        EventType("sitecrew.meal.served.v2", Served, "events"),
        EventType("sitecrew.meal.eaten.v1", Eaten, "events"),
    )
    assert broken(*catalogue, golden=[*GOLDEN, Golden("meal.eaten.v1", "full", b"{}")]) == []


def test_a_reason_tells_the_type_the_field_the_change_whom_it_breaks_and_what_to_do() -> None:
    class NoDish(Model):
        """A meal was served."""

        table: int
        course: Literal["soup", "pie"] = "pie"

    [reason] = broken(ASKED, replace(SERVED, model=NoDish))
    assert reason == f"sitecrew.meal.served.v1, data.dish: is gone. {PRODUCERS} {CONSUMERS} {WHAT_TO_DO}"


def test_what_others_send_us_may_be_taken_more_widely_but_not_more_narrowly() -> None:
    class Wider(Model):
        """Somebody asked for a meal."""

        table: int | None = None
        wish: str | None = None

    class Narrower(Model):
        """Somebody asked for a meal."""

        table: int
        wish: Line

    assert broken(replace(ASKED, model=Wider), SERVED) == []
    reasons = broken(replace(ASKED, model=Narrower), SERVED)
    assert [reason.partition(".v1, ")[2].partition(". ")[0] for reason in reasons] == [
        "data.wish: was optional, is required",
        "data.wish: may no longer be null",
    ]
    assert all(PRODUCERS in reason and CONSUMERS not in reason for reason in reasons)


def test_what_we_say_may_become_neither_wider_nor_narrower_because_we_read_it_too() -> None:
    class Wider(Served):
        """A meal was served."""

        course: Literal["soup", "pie", "cake"] = "pie"  # type: ignore[assignment]  # which is the point

    class Narrower(Served):
        """A meal was served."""

        course: Literal["pie"] = "pie"

    [wider] = broken(ASKED, replace(SERVED, model=Wider))
    change = 'value was "pie" or "soup", is "cake" or "pie" or "soup"'
    assert wider == f"sitecrew.meal.served.v1, data.course: {change}. {CONSUMERS} {WHAT_TO_DO}"
    [narrower] = broken(ASKED, replace(SERVED, model=Narrower))
    assert PRODUCERS in narrower


def test_a_type_that_is_gone_or_travels_elsewhere_is_told() -> None:
    [gone] = broken(ASKED)
    assert gone.startswith("sitecrew.meal.served.v1: is no longer in the catalogue. ")
    [moved] = broken(ASKED, replace(SERVED, exchange="commands"))
    assert moved.startswith("sitecrew.meal.served.v1: the exchange was 'events', is 'commands'. ")


def test_a_released_golden_event_is_neither_changed_nor_taken_away() -> None:
    changed = [GOLDEN[0], replace(GOLDEN[1], content=b"{ }")]
    [reason] = broken(ASKED, SERVED, golden=changed)
    assert reason.startswith("golden/meal.served.v1/full.json: was changed. ")
    [reason] = broken(ASKED, SERVED, golden=GOLDEN[:1])
    assert reason.startswith("golden/meal.served.v1/full.json: is gone. ")


def test_every_type_that_we_say_is_promised_to_consumers() -> None:
    assert {entry.exchange for entry in CATALOGUE if entry.published} == {"events"}
