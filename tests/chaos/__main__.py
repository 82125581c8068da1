"""Sitecrew under faults: orders through the whole system while services, broker, databases, disks, lines and clocks
fail by a seeded schedule. At the end everything is healed and audited.

Everything runs on loopback below one directory, and ends with this program: real services, their own RabbitMQ,
databases and mail server. The same seed and options repeat the schedule."""

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

from foundation.errors import SitecrewError
from foundation.telemetry import logs
from sitecrew.stack.ending import interrupt_on_signals
from tests.chaos.disk import with_own_mounts
from tests.chaos.fault import Options
from tests.chaos.faults import BY_KIND
from tests.chaos.run import Report, run
from tests.chaos.timeline import Timeline

_EXAMPLES = """\
examples:
  script/chaos                                    300 orders, 4 minutes, a new seed
  script/chaos --seed 1 --store postgresql        the schedule of seed 1, on PostgreSQL
  script/chaos --minutes 60 --orders 4000         a long run
  script/chaos --only 'broker wiped' 'queue deleted'
  script/chaos --list                             all kinds of faults

exit codes: 0 all is well; 1 something was lost, doubled or left undone: the directory is kept; 2 could not run
"""
_PLACE = Path("var/chaos")


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    if options.list:
        sys.stdout.write("".join(f"{kind}\n" for kind in BY_KIND))
        return 0
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    sys.stderr.write(f"seed {seed}\n")
    directory = _new(options.directory or _PLACE / f"seed-{seed}")
    chosen = Options(options.orders, options.minutes * 60, options.store, options.site, tuple(options.only))
    logs.configure("chaos", "critical", sys.stderr)  # what we notice ourselves is no news: we have caused it
    interrupt_on_signals()
    try:
        report = run(seed, chosen, directory, Timeline())
    except SitecrewError as error:
        sys.stderr.write(f"error: {error}\nSee the logs in {directory}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 2
    if report.is_clean and not options.keep:
        shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n" if options.json else _shown(report, directory))
    return 0 if report.is_clean else 1


def _new(wanted: Path) -> Path:
    """The directory, or one beside it that is not there yet."""
    number, place = 1, wanted
    while place.exists():
        number, place = number + 1, wanted.with_name(f"{wanted.name}.{number}")
    return place


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="script/chaos", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=300, metavar="N", help="number of orders (default 300)")
    parser.add_argument("--seed", type=int, metavar="N", help="the schedule's seed (default: a new one, printed first)")
    parser.add_argument("--minutes", type=float, default=4, metavar="M", help="how long faults keep coming (default 4)")
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite", help="(default sqlite)")
    parser.add_argument("--site", choices=["static", "wordpress"], default="static", help="(default static)")
    parser.add_argument(
        "--only", nargs="+", choices=list(BY_KIND), default=[], metavar="KIND", help="only these kinds of faults"
    )
    parser.add_argument("--list", action="store_true", help="print the kinds of faults")
    parser.add_argument("--directory", type=Path, help="the run's directory, to be created (default below var/chaos)")
    parser.add_argument("--keep", action="store_true", help="keep the directory even if all is well")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _shown(report: Report, directory: Path) -> str:
    verdict = report.verdict
    lines = [f"{what:<18} {count}" for what, count in verdict.counts.items()]
    lines.append(f"at rest after      {report.rested_after:g} s")
    done = [entry for entry in report.timeline.entries if not entry.trouble]
    lines.append(f"faults             {len(done)} of {len(report.timeline.entries)}")
    lines += [f"  doubled: {count}: {why}" for why, count in Counter(verdict.doubled.values()).most_common()]
    by_cause = Counter(cause.partition(":")[0] for cause in report.by_hand.values())
    lines += [f"  put right by staff: {count} after {cause}" for cause, count in sorted(by_cause.items())]
    lines += [f"  left out: {kind}: {why}" for kind, why in report.left_out.items()]
    if report.is_clean:
        return "\n".join([*lines, f"seed {report.seed}: clean", ""])
    lines += [f"VIOLATION: {violation}" for violation in verdict.violations]
    return "\n".join([*lines, f"seed {report.seed}: {len(verdict.violations)} violations; see {directory}", ""])


if __name__ == "__main__":
    with_own_mounts([sys.executable, "-m", "tests.chaos", *sys.argv[1:]])
    sys.exit(main(sys.argv[1:]))
