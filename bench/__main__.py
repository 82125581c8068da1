"""The command line of the benchmarks."""

import argparse
import json
import sys

from bench.figures import plot, table
from bench.machine import RESULTS, progress
from bench.pipeline import pipeline
from bench.profiling import profile
from foundation.errors import SitecrewError

_EXAMPLES = """\
examples:
  script/bench                                     the pipeline: 3 rounds of all, some 10 minutes
  script/bench pipeline --orders 5000 --rounds 5   steadier figures
  script/bench pipeline --only ours_sqlite raw     two of them, for a quick look
  script/bench profile                             where the time of our services goes
"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="script/bench", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _pipeline(commands.add_parser("pipeline", help="orders through raw pika, peers and ourselves (the default)"))
    _profile(commands.add_parser("profile", help="where the time of our services goes"))
    options = parser.parse_args(argv)
    try:
        return int(options.run(options))
    except SitecrewError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def _pipeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orders", type=int, default=2000, metavar="N", help="orders in each run (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds, in turn (default 3)")
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


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orders", type=int, default=3000, metavar="N", help="orders (default 3000)")
    parser.set_defaults(run=_run_profile)


def _run_profile(options: argparse.Namespace) -> int:
    for name, found in profile(options.orders).items():
        sys.stdout.write(f"{name}: {found}\n")
    return 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    # Without a subcommand the pipeline is meant, whatever its options.
    asked_for_help = arguments[:1] in (["-h"], ["--help"])
    named = bool(arguments) and not arguments[0].startswith("-")
    sys.exit(main(arguments if asked_for_help or named else ["pipeline", *arguments]))
