"""The command line of the benchmarks."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from bench.figures import listed, plot, table
from bench.machine import RESULTS, facts, progress
from bench.pipeline import pipeline
from bench.profiling import profile
from bench.trials import console
from bench.trials.burst import TARGETS as TARGETS_BURST
from bench.trials.burst import burst
from bench.trials.delay import delay
from bench.trials.install import TARGETS as TARGETS_INSTALL
from bench.trials.install import install
from bench.trials.intake import TARGETS as TARGETS_INTAKE
from bench.trials.intake import intake
from bench.trials.memory import TARGETS as TARGETS_MEMORY
from bench.trials.memory import memory
from bench.trials.scale import TARGETS as TARGETS_SCALE
from bench.trials.scale import scale
from bench.trials.ticks import TARGETS as TARGETS_TICKS
from bench.trials.ticks import ticks
from foundation.errors import SitecrewError

_EXAMPLES = """\
examples:
  script/bench                                     the pipeline: 3 rounds of everything, about 10 minutes
  script/bench pipeline --orders 5000 --rounds 5   steadier figures
  script/bench pipeline --only ours_sqlite raw     two contestants, for a quick look
  script/bench intake                              how long an order waits for its account, idle and busy
  script/bench install                             verified WordPress sites a minute, beside a shell script
  script/bench install --burst 200                 200 WordPress orders at one tick, to the last letter
  script/bench delay --million                     a million staged installs on the ladder, 25 minutes
  script/bench scale --installers 1 8              two of the four measurements
  script/bench memory | ticks                      memory and start-up time; very many installs at one tick
  script/bench console                             pages, API and projection behind 100 000 installs, 10 minutes
  script/bench profile                             where our services spend their time
"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="script/bench", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _pipeline(
        commands.add_parser("pipeline", help="send orders through raw pika, other libraries and Sitecrew (the default)")
    )
    _trials(commands)
    _profile(commands.add_parser("profile", help="where our services spend their time"))
    options = parser.parse_args(argv)
    try:
        return int(options.run(options))
    except SitecrewError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def _pipeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orders", type=int, default=2000, metavar="N", help="orders in each run (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="number of rounds (default 3)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run only these")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    parser.set_defaults(run=_run_pipeline)


def _run_pipeline(options: argparse.Namespace) -> int:
    result, titles = pipeline(options.orders, options.rounds, options.only)
    written = json.dumps(result, indent=2) + "\n"
    if not options.only:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "pipeline.json").write_text(written)
        plot(result, titles, RESULTS / "pipeline.png")
        progress("written: bench/results/pipeline.json and pipeline.png")
    sys.stdout.write(written if options.json else table(result, titles))
    return 0


def _trials(commands: Any) -> None:
    one = commands.add_parser("intake", help="how long an order waits for its account, idle and busy")
    one.add_argument(
        "--installs", type=int, default=1000, metavar="N", help="installs that run meanwhile (default 1000)"
    )
    one.add_argument("--probes", type=int, default=300, metavar="N", help="orders that are timed (default 300)")
    one.add_argument("--per-second", type=float, default=10, metavar="N", help="timed orders per second (default 10)")
    one.add_argument(
        "--install-seconds", type=float, default=0.12, metavar="S", help="duration of an install (default 0.12)"
    )
    _trial(one, TARGETS_INTAKE, lambda o: intake(o.installs, o.probes, o.per_second, o.install_seconds))
    one = commands.add_parser("install", help="WordPress sites: copied, step by step, and by a shell script")
    one.add_argument("--at-once", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    one.add_argument("--installs", type=int, default=24, metavar="N", help="sites of each measurement (default 24)")
    one.add_argument("--burst", type=int, metavar="N", help="instead: N orders at one tick, through the whole system")
    _trial(
        one, TARGETS_INSTALL | TARGETS_BURST, lambda o: burst(o.burst) if o.burst else install(o.at_once, o.installs)
    )
    one = commands.add_parser("delay", help="staged installs through the ladder")
    one.add_argument("--messages", type=int, default=100_000, metavar="N", help="number of installs (default 100 000)")
    one.add_argument("--million", action="store_const", const=1_000_000, dest="messages", help="a million installs")
    one.add_argument(
        "--per-second", type=float, default=1000, metavar="N", help="installs due per second (default 1000)"
    )
    _trial(one, {}, lambda o: delay(o.messages, o.per_second))
    one = commands.add_parser("scale", help="1, 2, 4 and 8 installers")
    one.add_argument("--installers", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N")
    one.add_argument(
        "--seconds", type=float, default=15, metavar="S", help="ideal duration of each measurement (default 15)"
    )
    one.add_argument(
        "--concurrency",
        type=int,
        default=4,
        metavar="N",
        help="installs at a time per installer (default 4, as shipped)",
    )
    _trial(one, TARGETS_SCALE, lambda o: scale(o.installers, o.seconds, o.concurrency))
    one = commands.add_parser("memory", help="memory with a long queue, and start-up time")
    one.add_argument(
        "--messages", type=int, default=100_000, metavar="N", help="messages in the queue (default 100 000)"
    )
    one.add_argument("--seconds", type=float, default=30, metavar="S", help="duration per service (default 30)")
    _trial(one, TARGETS_MEMORY, lambda o: memory(o.messages, o.seconds))
    one = commands.add_parser("ticks", help="very many installs due at one tick")
    one.add_argument("--installs", type=int, default=100_000, metavar="N", help="number of installs (default 100 000)")
    one.add_argument(
        "--small", type=int, default=1000, metavar="N", help="number of installs to compare with (default 1000)"
    )
    _trial(one, TARGETS_TICKS, lambda o: ticks(o.installs, o.small))
    one = commands.add_parser("console", help="the console and the HTTP API with many installs behind them")
    one.add_argument(
        "--installs", type=int, default=100_000, metavar="N", help="orders, installs and emails each (default 100 000)"
    )
    one.add_argument(
        "--lines", type=int, default=1_000_000, metavar="N", help="lines of the activity log (default 1 000 000)"
    )
    one.add_argument(
        "--orders", type=int, default=6000, metavar="N", help="orders whose events are taken in (default 6000)"
    )
    one.add_argument("--requests", type=int, default=60, metavar="N", help="requests of each kind (default 60)")
    databases = ["sqlite", "postgresql"]
    one.add_argument("--on", nargs="+", choices=databases, default=databases, help="databases (default both)")
    _trial(
        one,
        console.TARGETS,
        lambda o: console.console(o.installs, o.lines, o.orders, o.requests, o.on),
        lambda result, _targets: console.shown(result),
    )


def _trial(
    parser: argparse.ArgumentParser,
    targets: dict[str, str],
    run: Callable[[argparse.Namespace], dict[str, Any]],
    show: Callable[[dict[str, Any], dict[str, str]], str] = listed,
) -> None:
    name = parser.prog.split()[-1]
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the table")

    def carry_out(options: argparse.Namespace) -> int:
        result = run(options) | {"machine": facts()}
        written = json.dumps(result, indent=2) + "\n"
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{'burst' if getattr(options, 'burst', None) else name}.json"
        path.write_text(written)
        progress(f"written: bench/results/{path.name}")
        sys.stdout.write(written if options.json else show(result, targets))
        return 0

    parser.set_defaults(run=carry_out)


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orders", type=int, default=3000, metavar="N", help="orders (default 3000)")
    parser.set_defaults(run=_run_profile)


def _run_profile(options: argparse.Namespace) -> int:
    for name, found in profile(options.orders).items():
        sys.stdout.write(f"{name}: {found}\n")
    return 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    # Without a subcommand, run the pipeline with the given options.
    asked_for_help = arguments[:1] in (["-h"], ["--help"])
    named = bool(arguments) and not arguments[0].startswith("-")
    sys.exit(main(arguments if asked_for_help or named else ["pipeline", *arguments]))
