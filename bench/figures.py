"""Turn measurements into results: medians, ratios, the table and the plot."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import PEERS


@dataclass(frozen=True)
class Run:
    """One contestant's run in one round."""

    name: str
    per_second: float
    cpu_ms: Mapping[str, float]
    """CPU milliseconds per order, by process."""
    broker_cpu_ms: float


Result = dict[str, Any]


def summary(rounds: Sequence[Sequence[Run]]) -> Result:
    """Return medians over the rounds, and ratios; a ratio is None if one of the two contestants did not run."""
    runs: dict[str, list[Run]] = {}
    for run in (run for part in rounds for run in part):
        runs.setdefault(run.name, []).append(run)
    rates = {name: median(run.per_second for run in of) for name, of in runs.items()}
    cpu = {name: _cpu(of) for name, of in runs.items()}
    ours = rates.get("ours_sqlite")
    best, best_same_job = _best(rates, same_job=False), _best(rates, same_job=True)
    return {
        "ratio_to_raw": _ratio(ours, rates.get("raw")),
        "ratio_to_hops": _ratio(ours, rates.get("hops")),
        "ratio_to_best_peer": _ratio(ours, rates.get(best)),
        "ratio_to_best_peer_same_job": _ratio(ours, rates.get(best_same_job)),
        "cpu_ms_per_order": cpu.get("ours_sqlite", {}),
        "cpu_ratio_to_f70c233": _ratio(_total(cpu, "ours_sqlite"), _total(cpu, "f70c233")),
        "postgresql_to_sqlite": _ratio(rates.get("ours_postgresql"), ours),
        "best_peer": best,
        "best_peer_same_job": best_same_job,
        "orders_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "cpu_ms": cpu,
        "broker_cpu_ms": {name: round(median(run.broker_cpu_ms for run in of), 2) for name, of in runs.items()},
        "rounds": [[asdict(run) for run in part] for part in rounds],
    }


def _best(rates: Mapping[str, float], *, same_job: bool) -> str:
    peers = [
        name
        for name in rates
        if name.startswith(("dramatiq", "celery", "faststream")) and name.endswith("_same_job") == same_job
    ]
    return max(peers, key=rates.__getitem__, default="")


def _ratio(one: float | None, other: float | None) -> float | None:
    return round(one / other, 3) if one is not None and other else None


def _cpu(runs: Sequence[Run]) -> dict[str, float]:
    parts = {name: round(median(run.cpu_ms[name] for run in runs), 3) for name in runs[0].cpu_ms}
    return parts | {"total": round(median(sum(run.cpu_ms.values()) for run in runs), 3)}


def _total(cpu: Mapping[str, Mapping[str, float]], name: str) -> float | None:
    return cpu[name]["total"] if name in cpu else None


TARGETS = {
    "ratio_to_best_peer": ">= 1.0",
    "ratio_to_best_peer_same_job": ">= 2.5",
    "cpu_ratio_to_f70c233": "<= 0.35",
    "postgresql_to_sqlite": ">= 0.8",
}


def table(result: Result, titles: Mapping[str, str]) -> str:
    """Format the result for people: how fast each contestant was, and the ratios beside their targets."""
    lines = [f"{'':34}{'orders/s':>10}{'CPU ms/order':>14}{'broker':>9}   by process"]
    for name, rate in sorted(result["orders_per_second"].items(), key=lambda entry: -entry[1]):
        parts = dict(result["cpu_ms"][name])
        total = parts.pop("total")
        each = ", ".join(f"{part} {spent:.2f}" for part, spent in parts.items())
        lines.append(
            f"{titles.get(name, name):34}{rate:10.0f}{total:14.2f}{result['broker_cpu_ms'][name]:9.2f}   {each}"
        )
    lines.append("")
    for name in ("ratio_to_raw", "ratio_to_hops", *TARGETS):
        target = f"   to reach: {TARGETS[name]}" if name in TARGETS else ""
        note = f"   ({result[name.removeprefix('ratio_to_')]})" if "best_peer" in name else ""
        lines.append(f"{name:34}{'-' if result[name] is None else result[name]:>10}{target}{note}")
    return "\n".join(lines) + "\n"


def listed(result: Result, targets: Mapping[str, str]) -> str:
    """Format a result for people: one figure per line, beside its target."""
    lines = []
    for name, value in result.items():
        if name != "machine":
            target = f"   to reach: {targets[name]}" if name in targets else ""
            lines.append(f"{name:34}{value!s:>10}{target}")
    return "\n".join(lines) + "\n"


def plot(result: Result, titles: Mapping[str, str], path: Path) -> None:
    """Plot a bar per contestant and a dot per round. Runs in the peers' environment, which has matplotlib."""
    rounds = [{run["name"]: run["per_second"] for run in part} for part in result["rounds"]]
    rates = sorted(result["orders_per_second"].items(), key=lambda entry: entry[1])
    bars = [(titles.get(name, name), rate, [part[name] for part in rounds if name in part]) for name, rate in rates]
    drawn = json.dumps({"bars": bars, "machine": result["machine"], "path": str(path)})
    subprocess.run([PEERS, "-m", "bench.plot"], input=drawn, text=True, check=True)  # noqa: S603  # our own module
