"""From measured runs to medians, ratios and the table."""

from itertools import pairwise

import pytest

from bench.figures import Run, summary, table

TITLES = {"ours_sqlite": "Sitecrew on SQLite"}


def run(name: str, per_second: float, **cpu_ms: float) -> Run:
    return Run(name, per_second, cpu_ms or {"all": 1.0}, broker_cpu_ms=0.5)


ROUNDS = [
    [
        run("raw", 1000 * number),
        run("dramatiq", 400),
        run("celery", 300),
        run("dramatiq_same_job", 100),
        run("faststream_same_job", 160),
        run("ours_sqlite", 200 + number, intake=1.0 * number, mailer=2.0),
        run("ours_postgresql", 101),
        run("f70c233", 100, intake=6.0, mailer=10.0),
    ]
    for number in (3, 1, 2)
]


def test_a_rate_is_the_median_of_its_rounds() -> None:
    assert summary(ROUNDS)["orders_per_second"]["raw"] == 2000
    assert summary(ROUNDS)["orders_per_second"]["ours_sqlite"] == 202


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("ratio_to_raw", 0.101),
        ("ratio_to_best_peer", 0.505),
        ("ratio_to_best_peer_same_job", 1.262),
        ("postgresql_to_sqlite", 0.5),
        ("cpu_ratio_to_f70c233", 0.25),
        ("ratio_to_hops", None),
    ],
)
def test_ratios_are_those_of_the_medians_and_none_is_made_up_for_who_did_not_run(
    name: str, ratio: float | None
) -> None:
    assert summary(ROUNDS)[name] == ratio


def test_the_best_peer_is_chosen_among_its_like() -> None:
    result = summary(ROUNDS)
    assert (result["best_peer"], result["best_peer_same_job"]) == ("dramatiq", "faststream_same_job")


def test_cpu_time_is_told_by_service_and_in_total() -> None:
    assert summary(ROUNDS)["cpu_ms_per_order"] == {"intake": 2.0, "mailer": 2.0, "total": 4.0}


def test_the_table_has_the_fastest_first_and_what_is_to_be_reached() -> None:
    text = table(summary(ROUNDS), TITLES)
    places = [text.index(name) for name in ("raw", "dramatiq ", "Sitecrew on SQLite", "ours_postgresql")]
    assert all(one < other for one, other in pairwise(places))
    assert "to reach: >= 2.5   (faststream_same_job)" in text
