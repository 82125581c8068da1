"""The manifests: built by kustomize, held against the published schemas, and against what our own code knows.

Core resources are held against Kubernetes' JSON schemas (kubernetes-validate), those of KEDA and of the Prometheus
operator against models that are generated from their resource definitions (cloudcoil).
"""

import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from foundation.config.queues import DUE
from foundation.config.rights import USERS
from foundation.config.settings import Settings, load

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
RULES = ROOT / "deploy" / "prometheus" / "sitecrew.rules.yaml"
SERVICES = ("order-intake", "installer", "mailer", "api")
VERSIONS = ("1.31", "1.37")
"""Of Kubernetes: an old one that many have, and the newest whose schemas are at hand."""


@cache
def models() -> dict[str, Any]:
    """Return models of resources by kind. Importing them takes longer than all the tests here."""
    from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication  # noqa: PLC0415
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule  # noqa: PLC0415

    return {model.__name__: model for model in (PodMonitor, PrometheusRule, ScaledObject, TriggerAuthentication)}


Document = dict[str, Any]


@cache
def built(folder: str) -> list[Document]:
    command = [str(Path(sys.executable).with_name("kubectl")), "kustomize", str(KUBERNETES / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def example(kind: str, name: str | None = None) -> list[Document]:
    found = [document for document in built("overlays/example") if document["kind"] == kind]
    return [document for document in found if name in (None, document["metadata"]["name"])]


def only(kind: str, name: str) -> Document:
    (document,) = example(kind, name)
    return document


def pod_of(service: str) -> Document:
    template: Document = only("Deployment", f"sitecrew-{service}")["spec"]["template"]
    return template


def containers(pod: Document) -> list[Document]:
    return [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]


def require_valid(document: Document, version: str) -> None:
    model = models().get(document["kind"])
    if model is None:
        kubernetes_validate.validate(document, version, strict=True)
    else:
        # A model takes what it does not know and forgets it: what comes out again is what it knows.
        read = model.model_validate(document)
        assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == document


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_what_kustomize_builds_is_valid(folder: str, version: str) -> None:
    for document in built(folder):
        require_valid(document, version)


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("Deployment", lambda spec: spec.update(replica=2)),
        ("Deployment", lambda spec: spec["template"]["spec"].update(terminationGracePeriodSeconds="long")),
        ("NetworkPolicy", lambda spec: spec.update(policyTypes="Ingress")),
        ("ScaledObject", lambda spec: spec.update(pollInterval=30)),
        ("ScaledObject", lambda spec: spec["triggers"][0].pop("type")),
        ("TriggerAuthentication", lambda spec: spec["secretTargetRef"][0].pop("key")),
        ("PodMonitor", lambda spec: spec["podMetricsEndpoints"][0].update(intervall="30s")),
    ],
)
def test_what_is_damaged_is_not_taken_for_valid(kind: str, damage: Callable[[Document], object]) -> None:
    document = yaml.safe_load(yaml.safe_dump(example(kind)[0]))
    damage(document["spec"])
    with pytest.raises((kubernetes_validate.ValidationError, ValueError, AssertionError)):
        require_valid(document, VERSIONS[-1])


def test_each_file_is_part_of_what_is_built() -> None:
    used = {file for place in KUBERNETES.rglob("kustomization.yaml") for file in used_by(place)}
    assert used == {file for file in KUBERNETES.rglob("*") if file.is_file() and file.name != "README.md"}


def used_by(kustomization: Path) -> Iterator[Path]:
    yield kustomization
    document = yaml.safe_load(kustomization.read_text())
    names = [*document.get("resources", ()), *(patch.get("path") for patch in document.get("patches", ()))]
    names += [file for generator in document.get("configMapGenerator", ()) for file in generator["files"]]
    yield from (place for name in names if name and (place := kustomization.parent / name).is_file())


# What runs


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_may_do_no_more_than_it_needs(service: str) -> None:
    pod = pod_of(service)["spec"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    for container in containers(pod_of(service)):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_brings_its_database_up_to_date_and_runs_its_service(service: str) -> None:
    migrate, run = containers(pod_of(service))
    assert migrate["command"] == ["sitecrew", "store", "migrate", service]
    assert run["command"] == ["sitecrew", "run", service]
    assert (run["livenessProbe"]["httpGet"]["path"], run["readinessProbe"]["httpGet"]["path"]) == ("/livez", "/readyz")


@pytest.fixture
def settings_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    """The settings that a service finds in its container of the example."""

    def find(service: str) -> Settings:
        *_, container = containers(pod_of(service))
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        for volume in pod_of(service)["spec"]["volumes"]:
            for name, text in content_of(volume).items():
                place = tmp_path / str(mounts[volume["name"]]).lstrip("/") / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
        for variable in container["env"]:
            value = variable["value"]
            monkeypatch.setenv(variable["name"], str(tmp_path) + value if value.startswith("/") else value)
        return load(tmp_path / "etc/sitecrew/sitecrew.toml")

    return find


def content_of(volume: Document) -> dict[str, str]:
    """The files of a volume, by name."""
    if "configMap" in volume:
        return dict(only("ConfigMap", volume["configMap"]["name"])["data"])
    secrets = [only("Secret", source["secret"]["name"]) for source in volume.get("projected", {}).get("sources", ())]
    kinds = {"amqp-url": "amqp://canary", "store-url": "postgresql://canary"}
    return {key: kinds.get(key, "canary") for secret in secrets for key in secret["data"]}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_finds_settings_that_it_understands(service: str, settings_of: Callable[[str], Settings]) -> None:
    settings = settings_of(service)
    own = getattr(settings, service.replace("-", "_"))
    *_, container = containers(pod_of(service))
    port, *others = container["ports"]
    assert [other["name"] for other in others] == (["http"] if service == "api" else [])
    assert own.listen == f"0.0.0.0:{port['containerPort']}"
    assert (
        container["livenessProbe"]["httpGet"]["port"] == container["readinessProbe"]["httpGet"]["port"] == port["name"]
    )
    assert settings.amqp_url.get_secret_value() == "amqp://canary"
    assert own.store_url.get_secret_value() == "postgresql://canary"
    assert settings.keys.private.get_secret_value() == ("canary" if service == "mailer" else "")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_its_own_user_of_the_broker(service: str) -> None:
    [secret] = {
        source["secret"]["name"]
        for volume in pod_of(service)["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
    }
    url = urlsplit(b64decode(only("Secret", secret)["data"]["amqp-url"]).decode())
    assert (url.username, url.path) == (USERS[service].name, "/sitecrew")


@pytest.mark.parametrize("service", ["order-intake", "installer"])
def test_hosting_accounts_lie_on_a_volume(service: str, settings_of: Callable[[str], Settings]) -> None:
    root = str(settings_of(service).servers["local"].root)
    *_, container = containers(pod_of(service))
    (volume,) = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == root]
    (claim,) = [
        v["persistentVolumeClaim"]["claimName"] for v in pod_of(service)["spec"]["volumes"] if v["name"] == volume
    ]
    assert only("PersistentVolumeClaim", claim)


# What looks at it


@pytest.mark.parametrize("service", SERVICES)
def test_budgets_policy_and_monitor_mean_our_pods(service: str) -> None:
    labels = pod_of(service)["metadata"]["labels"].items()
    assert only("PodDisruptionBudget", f"sitecrew-{service}")["spec"]["selector"]["matchLabels"].items() <= labels
    policy, monitor = only("NetworkPolicy", "sitecrew")["spec"], only("PodMonitor", "sitecrew")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels
    assert monitor["selector"]["matchLabels"].items() <= labels
    (rule,), (endpoint,) = policy["ingress"], monitor["podMetricsEndpoints"]
    *_, container = containers(pod_of(service))
    assert rule["ports"][0]["port"] == endpoint["port"] == container["ports"][0]["name"]


def test_the_api_is_reached_where_it_listens(settings_of: Callable[[str], Settings]) -> None:
    settings, labels = settings_of("api"), pod_of("api")["metadata"]["labels"].items()
    *_, container = containers(pod_of("api"))
    _, port = container["ports"]
    assert settings.api.address == f"0.0.0.0:{port['containerPort']}"
    assert settings.api.secret_key.get_secret_value() == "canary"
    reached, allowed = only("Service", "sitecrew-api")["spec"], only("NetworkPolicy", "sitecrew-api")["spec"]
    assert reached["selector"].items() <= labels
    assert allowed["podSelector"]["matchLabels"].items() <= labels
    assert reached["ports"][0]["targetPort"] == allowed["ingress"][0]["ports"][0]["port"] == port["name"]


def test_the_monitor_gives_each_service_the_job_that_the_alerts_know() -> None:
    (endpoint,) = only("PodMonitor", "sitecrew")["spec"]["podMetricsEndpoints"]
    (relabeling,) = endpoint["relabelings"]
    for service in SERVICES:
        label = pod_of(service)["metadata"]["labels"]["app.kubernetes.io/component"]
        assert f'job="{relabeling["replacement"].replace("$1", label)}"' in RULES.read_text()


def test_the_alerts_are_what_the_prometheus_operator_takes() -> None:
    head = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "sitecrew"}}
    require_valid({**head, "spec": yaml.safe_load(RULES.read_text())}, VERSIONS[-1])


def test_installers_are_scaled_by_what_is_due_and_never_to_none() -> None:
    scaled = only("ScaledObject", "sitecrew-installer")["spec"]
    assert "replicas" not in only("Deployment", scaled["scaleTargetRef"]["name"])["spec"]
    assert scaled["minReplicaCount"] >= 1
    triggers = [trigger for trigger in scaled["triggers"] if trigger["type"] == "rabbitmq"]
    assert [trigger["metadata"]["queueName"] for trigger in triggers] == list(DUE.values())
    for trigger in triggers:
        assert trigger["metadata"]["mode"] == "QueueLength"
        (reference,) = only("TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]["secretTargetRef"]
        assert reference["key"] in only("Secret", reference["name"])["data"]
