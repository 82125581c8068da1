"""The alerts and the dashboard, judged by promtool and by a Prometheus that watches real services and a real broker."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import pytest
import yaml

from foundation.errors import ConfigurationError
from sitecrew.stack.machine import Plan
from sitecrew.stack.ports import free_port
from sitecrew.stack.processes import PATH, Child, Command
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from tests.support.brokers import BOOT, eventually, until
from tests.support.watching import Watched, watched

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "sitecrew.rules.yaml"
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))
SECONDS = 60.0
"""How long to wait for what must come."""

SELECTOR = re.compile(r"\b(?:up|ALERTS|(?:sitecrew|rabbitmq)[_:][\w:]+)\b(?:\{[^}]*\})?")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
NAMES = [alert["alert"] for alert in ALERTS]


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "sitecrew.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module", autouse=True)
def _prometheus() -> None:
    if not (shutil.which("promtool", path=PATH) and shutil.which("prometheus", path=PATH)):
        _without("no prometheus and promtool; `script/bootstrap prometheus` installs them")


def _without(reason: object) -> NoReturn:
    if "CI" in os.environ:
        pytest.fail(str(reason))
    pytest.skip(str(reason))


def promtool(*arguments: object, given: str = "") -> str:
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=given, text=True, capture_output=True, check=False, env={"PATH": PATH})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# What can be judged without running anything


def test_rules_and_configuration_are_valid() -> None:
    promtool("check", "rules", "--lint-fatal", RULES)
    for where in ("prometheus.yaml", "compose.yaml"):
        promtool("check", "config", PROMETHEUS / where)


def test_alerts_fire_when_they_should_and_at_no_other_time() -> None:
    promtool("test", "rules", *UNIT_TESTS)


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_is_expected_to_fire_in_a_unit_test(name: str) -> None:
    tests = [test for path in UNIT_TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    samples = [case["expr"] for test in tests for case in test.get("promql_expr_test", ()) if case.get("exp_samples")]
    alerts = [case["alertname"] for test in tests for case in test.get("alert_rule_test", ()) if case.get("exp_alerts")]
    # An expression may name several: Sitecrew(Orders|Letters)Failed.
    expected = [pattern for expr in samples for pattern in re.findall(r'alertname=~?"([^"]+)"', expr)] + alerts
    assert any(re.fullmatch(pattern, name) for pattern in expected)


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_each_alert_tells_how_severe_it_is_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description", "runbook"} == set(alert["annotations"])
    assert alert["annotations"]["runbook"] == f"docs/operate.md#{alert['alert'].lower()}"


def test_the_runbook_has_an_entry_for_each_alert_and_for_nothing_else() -> None:
    headings = re.findall(r"^#+ (Sitecrew\w+)$", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(NAMES)


# With everything running


@dataclass(frozen=True)
class Observed:
    """Services at work on a broker, and a Prometheus that watches both with our configuration."""

    stack: Watched
    ports: dict[str, int]
    api: httpx2.Client

    def ask(self, what: str, **parameters: Any) -> Any:
        answer = self.api.get(f"/api/v1/{what}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def finds(self, expression: str) -> bool:
        return bool(self.ask("query", query=expression)["result"])

    def alerts(self, *states: str) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] in states}

    def told(self) -> list[str]:
        """What the alerts of this moment say."""
        return [text for alert in self.ask("alerts")["alerts"] for text in alert["annotations"].values()]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """One order has gone its way to the letter; nothing has gone wrong."""
    directory = tmp_path_factory.mktemp("observed")
    with ExitStack() as opened:
        rabbit = opened.enter_context(_rabbit(directory / "rabbitmq"))
        opened.callback(rabbit.kill)  # nobody wants its data, and its plug-in takes seconds to say goodbye
        settings = {"timer.every": "* * * * * *", "sites.later.stage": False}
        plan = Plan(directory / "stack", ("static",), rabbit.amqp_url, settings)
        stack = opened.enter_context(watched(plan))
        stack.until("mail.sent", stack.order("static"))
        said = [json.loads(line) for line in stack.lines]
        ports = {f"sitecrew-{line['service']}": line["port"] for line in said if line["event"] == "health.listening"}
        plugin = rabbit.plugin_ports["rabbitmq_prometheus"]
        url = _prometheus_server(directory, {**ports, "rabbitmq": plugin}, opened)
        api = opened.enter_context(httpx2.Client(base_url=url, trust_env=False, timeout=SECONDS))
        seen = Observed(stack, ports, api)
        until(lambda: seen.finds(f"sum(up) == {len(ports) + 1}"), SECONDS)
        for record in [rule["record"] for rule in rules() if "record" in rule]:
            until(partial(seen.finds, record), SECONDS)
        until(lambda: seen.finds('rabbitmq_detailed_queue_messages{queue="parking"} == 0'), SECONDS)
        yield seen


def _rabbit(directory: Path) -> PrivateRabbit:
    try:
        return PrivateRabbit(directory, plugins=("rabbitmq_prometheus",), patience=BOOT)
    except ConfigurationError as missing:
        _without(missing)


def _prometheus_server(directory: Path, targets: dict[str, int], opened: ExitStack) -> str:
    """Its address. It has our configuration, other targets, and less patience."""
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    configuration["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "2s")
    configuration["rule_files"] = [str(RULES)]
    for job in configuration["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets.pop(job['job_name'])}"]}]
    assert targets == {}, "not in the configuration"
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(configuration))
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = Command(
        name="prometheus",
        argv=(
            str(shutil.which("prometheus", path=PATH)),
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ),
        environment={"PATH": PATH},
        log=directory / "prometheus.log",
    )
    opened.enter_context(Child(command)).ready(lambda: _is_ready(url), SECONDS, "see its log")
    return url


def _is_ready(url: str) -> bool | None:
    try:
        return httpx2.get(f"{url}/-/ready", trust_env=False).is_success or None
    except httpx2.HTTPError:
        return None


def test_what_services_tell_is_in_good_form(observed: Observed) -> None:
    assert set(observed.ports) == {f"sitecrew-{name}" for name in ("order-intake", "installer", "mailer", "api")}
    for port in observed.ports.values():
        told = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=SECONDS)
        promtool("check", "metrics", given=told.text)


@pytest.mark.parametrize("rule", rules(), ids=[rule.get("alert") or rule["record"] for rule in rules()])
def test_each_series_that_a_rule_asks_for_is_told_by_somebody(observed: Observed, rule: dict[str, Any]) -> None:
    asked = SELECTOR.findall(rule["expr"])
    assert asked
    # What is excluded may be all there is: a broker that never refuses. But the label must be there.
    for selector in (re.sub(r'!~?"[^"]*"|!="[^"]*"', '!=""', selector) for selector in asked):
        assert observed.ask("series", **{"match[]": selector}), selector


@pytest.mark.parametrize("panel", panels(), ids=[panel["title"] for panel in panels()])
def test_each_panel_of_the_dashboard_has_something_to_show(observed: Observed, panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "1m").replace("$queue", ".+")
        assert "$" not in query
        until(partial(observed.finds, query), SECONDS)


def test_a_healthy_system_is_quiet_and_what_goes_wrong_is_told_by_its_own_alert(observed: Observed) -> None:
    eventually(lambda: observed.alerts("pending", "firing"), set(), SECONDS)
    observed.stack.until("install.failed", observed.stack.order("later"))
    eventually(lambda: observed.alerts("firing"), {"SitecrewInstallsFailed"}, SECONDS)
    observed.stack.send(b"no event")
    eventually(lambda: observed.alerts("firing"), {"SitecrewInstallsFailed", "SitecrewMessagesParked"}, SECONDS)
    eventually(lambda: observed.alerts("pending"), {"SitecrewParkingNotEmpty"}, SECONDS)
    until(lambda: "At least 1 in a quarter of an hour. They wait for staff." in observed.told(), SECONDS)
    assert [text for text in observed.told() if "error" in text or "<no value>" in text] == []
