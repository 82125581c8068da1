"""What a listing is asked for in a URL."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from schemas.envelope import Moment
from services.api.finding.filters import ActivityFilter, Filter, LetterFilter, SiteFilter
from services.api.finding.paging import MOST
from services.api.http.caller import Reader, only_of

_TEXT = r"^[^\x00-\x1f\x7f]*$"

Text = Annotated[str, Query(max_length=255, pattern=_TEXT)]
Words = Annotated[
    str, Query(max_length=400, pattern=r"^[a-z0-9_.,-]*$", description="Several, with commas between them.")
]
Search = Annotated[
    str,
    Query(
        max_length=255,
        pattern=_TEXT,
        description="The beginning of an order's id, domain, username or email address; if nothing begins so, a part"
        " of a domain or an email address. 500 orders are found at most.",
    ),
]
Since = Annotated[Moment | None, Query(description="The earliest time.")]
Until = Annotated[Moment | None, Query(description="The first moment that is too late.")]
Sort = Annotated[
    Literal["newest", "oldest"],
    Query(description="`oldest` misses nothing that changes while you read on: it comes again at the end."),
]
After = Annotated[str, Query(max_length=400, pattern=_TEXT, description="Where `next` of the last page goes on.")]
Limit = Annotated[int, Query(ge=1, le=MOST)]


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def anything(
    who: Reader,
    order_id: Text = "",
    search: Search = "",
    since: Since = None,
    until: Until = None,
    sort: Sort = "newest",
) -> Filter:
    """Return what every listing can be asked for, of what the caller may see."""
    return Filter(
        order_id=order_id,
        search=search,
        since=since,
        until=until,
        placed_by=only_of(who),
        oldest_first=sort == "oldest",
    )


Anything = Annotated[Filter, Depends(anything)]


def sites(
    common: Anything,
    state: Words = "",
    site_type: Text = "",
    server: Text = "",
    cause: Words = "",
    domain: Annotated[Text, Query(description="Part of a domain.")] = "",
    customer: Annotated[Text, Query(description="Part of a customer's name or email address.")] = "",
) -> SiteFilter:
    """Return which orders or installs are wanted."""
    own: dict[str, Any] = {"states": _words(state), "site_type": site_type, "server": server, "causes": _words(cause)}
    return SiteFilter(**vars(common), **own, domain=domain, customer=customer)


def with_letters(
    wanted: Annotated[SiteFilter, Depends(sites)],
    letter_state: Annotated[Words, Query(description="Only installs with a letter in one of these states.")] = "",
) -> SiteFilter:
    """Return which installs are wanted."""
    return replace(wanted, letter_states=_words(letter_state))


def letters(common: Anything, state: Words = "", cause: Words = "") -> LetterFilter:
    """Return which letters are wanted."""
    return LetterFilter(**vars(common), states=_words(state), causes=_words(cause))


def lines(common: Anything, kind: Words = "", actor: Text = "") -> ActivityFilter:
    """Return which lines of the activity log are wanted."""
    return ActivityFilter(**vars(common), kinds=_words(kind), actor=actor)
