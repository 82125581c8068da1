"""From sampled stacks to who spent the time."""

from bench.profiling import Profile

_LOOP = "_bootstrap (threading.py:1);turn (foundation/handling/worker.py:10);turn (foundation/handling/worker.py:12)"


def test_a_sample_counts_once_for_each_function_on_its_stack_and_for_the_library_below_the_innermost() -> None:
    profile = Profile()
    sqlalchemy = ".venv/lib/python3.11/site-packages/sqlalchemy/engine/base.py"
    profile.add(f"{_LOOP};find (services/installer/installs.py:5);execute ({sqlalchemy}:7);run (threading.py:1)", 3)
    profile.add(f"{_LOOP}", 2)
    assert profile.inclusive == {
        "turn (foundation/handling/worker.py)": 5,
        "find (services/installer/installs.py)": 3,
    }
    assert profile.libraries == {"sqlalchemy": 3, "our own code": 2}
    assert "sqlalchemy 60.0%" in str(profile)


def test_a_thread_of_a_library_alone_counts_for_it() -> None:
    profile = Profile()
    profile.add("_bootstrap (threading.py:1);run (threading.py:2)", 1)
    assert profile.libraries == {"threading": 1}
