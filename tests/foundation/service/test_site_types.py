"""What staff set for site types at run time, on both databases."""

from typing import Any

import pytest

from foundation.config.settings import Settings
from foundation.handling.unit_of_work import Database
from foundation.service.site_types import SiteTypes
from schemas.services import SiteTypeConfigure
from tests.support.in_memory import at, emitted, event_of
from tests.support.rows import no_rows, on_each_store

database = on_each_store("x", None, no_rows)


def replica(*, refuses_unknown: bool = False, **site: Any) -> SiteTypes:
    return SiteTypes("x", Settings(sites={"wordpress": site}), refuses_unknown=refuses_unknown)


def told(database: Database[Any], site_types: SiteTypes, **wanted: Any) -> list[Any]:
    """Have one replica handle the command; return what it emits."""
    command = event_of(SiteTypeConfigure(**{"site_type": "wordpress", **wanted}))
    with database.begin([command]) as uow:
        site_types.configure(uow, command)
    return [event.data.model_dump(mode="json", exclude={"service", "site_type"}) for event in emitted(uow)]


def test_the_settings_apply_until_staff_say_otherwise(database: Database[Any]) -> None:
    ours = replica(stage=False)
    assert not ours.stages("wordpress")
    assert ours.is_welcomed("wordpress")
    on = told(database, ours, stage="on", welcome_email="off")
    assert on == [{"stage": True, "welcome_email": False, "overrides": ["stage", "welcome_email"]}]
    assert ours.stages("wordpress")
    assert not ours.is_welcomed("wordpress")
    assert ours.begins_at("wordpress", at(1)) == at(300)
    back = told(database, ours, stage="default")
    assert back == [{"stage": False, "welcome_email": False, "overrides": ["welcome_email"]}]
    assert ours.begins_at("wordpress", at(1)) == at(1)


def test_other_replicas_hear_of_it_when_they_read_the_table_again(database: Database[Any]) -> None:
    ours, other = replica(), replica()
    told(database, ours, stage="off")
    assert other.stages("wordpress")
    other.rereading(database.store)
    assert not other.stages("wordpress")
    assert other.stages("static")


def test_what_is_not_committed_is_not_in_force_for_long(database: Database[Any]) -> None:
    ours = replica()
    command = event_of(SiteTypeConfigure(site_type="wordpress", stage="off"))

    def never_commits() -> None:
        with database.begin([command]) as uow:
            ours.configure(uow, command)
            raise LookupError

    with pytest.raises(LookupError):
        never_commits()
    ours.rereading(database.store)
    assert ours.stages("wordpress")


def test_one_service_refuses_an_unknown_type_and_the_others_say_nothing(database: Database[Any]) -> None:
    assert told(database, replica(), site_type="joomla", stage="off") == []
    [refused] = told(database, replica(refuses_unknown=True), site_type="joomla", stage="off")
    assert refused["cause"]["code"] == "no_such_site_type"
    assert refused["cause"]["detail"] == "joomla is none of the site types wordpress, static"
