"""Take the mechanisms of docs/guarantees.md out, one at a time, and see that their tests fail.

Exit code 0 if every one was noticed, 1 if not, 2 if the tests fail as they are.
"""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict

from tests.mutations import results
from tests.mutations.mutations import Mutation, mutations
from tests.mutations.trial import Outcome, copied


def main() -> int:
    parser = ArgumentParser("python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="WHAT", help="numbers of rows, or words of names or files")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each")
    parser.add_argument("--write", action="store_true", help="note the results in docs/guarantees.md")
    options = parser.parse_args()
    wanted = [mutation for mutation in mutations() if not options.only or _is_one_of(mutation, options.only)]
    outcomes: list[Outcome] = []
    with copied() as tree:
        if wrong := tree.untouched([mutation.node for mutation in wanted]):
            sys.stderr.write(f"{wrong}\nThe tests fail as they are.\n")
            return 2
        for mutation in wanted:
            outcomes.append(tree.tried(mutation))
            _show(outcomes[-1], as_json=options.json)
            if options.write:
                results.write(outcomes)
    noticed = sum(outcome.is_noticed for outcome in outcomes)
    if not options.json:
        sys.stdout.write(f"{len(outcomes)} taken out, {noticed} noticed\n")
    return 0 if noticed == len(outcomes) else 1


def _is_one_of(mutation: Mutation, wanted: list[str]) -> bool:
    return any(
        word == str(mutation.row) if word.isdecimal() else word in f"{mutation.name} {mutation.file}" for word in wanted
    )


def _show(outcome: Outcome, *, as_json: bool) -> None:
    mutation = outcome.mutation
    if as_json:
        line = json.dumps({**asdict(outcome), "mutation": mutation.name, "row": mutation.row, "test": mutation.node})
    else:
        line = f"{mutation.row:>3}  {outcome.verdict:<8}  {outcome.seconds:>6.1f} s  {mutation.name}: {outcome.why}"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
