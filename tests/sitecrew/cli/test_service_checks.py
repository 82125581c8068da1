"""The doctor asks the services themselves: whether they run, and as this command would have them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from foundation.config.settings import Settings
from foundation.errors import BrokerUnreachable
from foundation.store import Store
from services.api.service import MIGRATIONS
from services.api.webhooks import endpoints
from sitecrew.cli.checks import services, worst
from sitecrew.cli.checks.findings import Check, Finding, examine
from sitecrew.cli.checks.services import of_services
from sitecrew.cli.client import session
from tests.support.house import START, House, at_work

SECONDS = 20
NAMES = ["service order-intake", "service installer", "service mailer"]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with House(tmp_path).behind_commands(monkeypatch, session) as made:
        yield made


def found(house: House, patience: float = SECONDS, **here: object) -> dict[str, Finding]:
    settings = Settings.model_validate({"keys": house.settings.keys, **here}) if here else house.settings
    return {check.name: examine(check, set()) for check in of_services(settings, house.broker, patience)}


def test_services_that_run_say_their_version_and_since_when(house: House) -> None:
    with at_work(house):
        findings = found(house)
    assert [(name, finding.result) for name, finding in findings.items()] == [(name, "ok") for name in NAMES], findings
    assert all(
        "answers: version " in finding.detail and ", since 20" in finding.detail for finding in findings.values()
    )


def test_silence_is_noted_with_the_command_that_starts_it_and_fails_nothing(house: House) -> None:
    findings = found(house, 0.01)
    assert {finding.result for finding in findings.values()} == {"note"}
    assert findings["service mailer"].detail == "does not answer"
    assert "`sitecrew run mailer`" in findings["service mailer"].remedy
    assert worst(list(findings.values())) == 0


def test_a_service_of_another_version_is_noted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "version", lambda: "9.9.9")
    with at_work(house):
        findings = found(house)
    for name in NAMES:
        assert (findings[name].ok, findings[name].result) == (True, "note")
        assert "version: " in findings[name].detail
        assert "there, 9.9.9 here" in findings[name].detail


@pytest.mark.parametrize(
    ("here", "said", "noted"),
    [
        ({"timer": {"every": "0 3 * * *"}}, "timer.every: ", {"service installer"}),
        ({"timer": {"timezone": "Europe/Berlin"}}, "timer.timezone: UTC there, Europe/Berlin here", {NAMES[1]}),
        ({"sites": {"blog": {"installer": "static"}}}, "site types: ", {NAMES[0], NAMES[1]}),
    ],
)
def test_other_settings_than_the_commands_own_are_noted_where_they_matter(
    house: House, here: dict[str, object], said: str, noted: set[str]
) -> None:
    own = house.settings.model_dump()
    with at_work(house):
        findings = found(house, **{"sites": own["sites"], "timer": own["timer"], **here})
    assert {name for name, finding in findings.items() if finding.result == "note"} == noted
    assert all(said in findings[name].detail for name in noted)


def test_a_broker_that_goes_while_they_are_asked_is_asked_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gone(*_: object) -> None:
        asked.append(1)
        raise BrokerUnreachable("gone")

    monkeypatch.setattr(house.broker, "watch", gone)
    findings = found(house)
    assert {(finding.result, finding.detail) for finding in findings.values()} == {("note", "cannot be asked: gone")}
    assert len(asked) == 1


def test_what_depends_on_a_broker_that_is_not_well_is_not_looked_at(house: House) -> None:
    ill = {"broker alarms"}
    findings = [examine(check, ill) for check in of_services(house.settings, house.broker)]
    assert {finding.result for finding in findings} == {"skipped"}


def told(directory: Path, *webhooks: tuple[list[str], str | None], to: Sequence[str] = ()) -> Finding:
    url = f"sqlite:///{directory}/api.db"
    settings = Settings.model_validate({"api": {"store_url": url, "secret_key": "s" * 40}, "alerts": {"to": list(to)}})
    if webhooks:
        store = Store(url)
        store.migrate([MIGRATIONS])
        with store.transaction() as connection:
            for types, source in webhooks:
                endpoints.create(connection, settings.api, "https://hook.example/", types, source, "eve", START)
        store.close()
    return examine(Check("alerts", lambda: services.alerts(settings)), set())


def test_it_is_noted_if_nobody_is_told_when_something_needs_staff(tmp_path: Path) -> None:
    assert told(tmp_path).result == "note"
    producers_own = told(tmp_path, (["*"], "/shop"), (["install.*"], None))
    assert (producers_own.result, producers_own.ok) == ("note", True)
    assert "alerts.to" in producers_own.remedy


def test_whoever_is_told_is_named(tmp_path: Path) -> None:
    by_email = told(tmp_path, to=["ann@hosting.example"])
    assert (by_email.result, by_email.detail) == (
        "ok",
        "staff are told of what needs them by email to ann@hosting.example",
    )
    assert told(tmp_path, (["alert.*"], None)).detail == "staff are told of what needs them by 1 webhook"
