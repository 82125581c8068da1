"""What a recipe must not do with values that customers choose: run them, or let them be misread as code or options."""

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from services.installer.sites.archive.reading import wrong
from services.installer.sites.archive.recipe import Run, RunPhp
from services.installer.sites.archive.variables import Words
from services.installer.sites.programs import run
from services.installer.sites.programs.php import Php

_INTERPRETER = re.compile(r"(ba|da|a|k|z|fi)?sh|python[0-9.]*|perl|ruby|node|php[0-9.]*")
_CODE = re.compile(r"-[A-Za-z]*[ceEr]|--eval")
_SECONDS = 60.0


def judge_command(step: Run | RunPhp, where: str, words: Words, rendered: Sequence[str]) -> None:
    """Raise `Failed` (recipe_wrong) if an argument can become an option, or code, through a customer's values."""
    parts = step.run if isinstance(step, Run) else step.php
    interprets = isinstance(step, RunPhp) or _INTERPRETER.fullmatch(PurePosixPath(rendered[0]).name) is not None
    for number, (part, value) in enumerate(zip(parts, rendered, strict=True)):
        if value.startswith("-") and not part.startswith("-") and "--" not in parts[:number]:
            named = f"argument {number} is {value!r}, which is an option to the program"
            advice = "write '--' before it, or '--title={{ title }}', or use stdin"
            raise wrong(words.recipe, f"{where}: {named}: {advice}")
        if interprets and number and _CODE.fullmatch(parts[number - 1]) and words.chosen(part):
            raise _runs(words, where, f"argument {number}", part)
    if interprets and all(part.startswith("-") for part in parts[isinstance(step, Run) :]) and words.chosen(step.stdin):
        raise _runs(words, where, "stdin", step.stdin)


def judge_file(name: str, where: str, words: Words, text: str, php: Php) -> None:
    """Raise `Failed` (recipe_wrong) if a written file of a known kind is broken; `words` should be hard to quote."""
    match PurePosixPath(name).suffix:
        case ".json":
            try:
                json.loads(text)
            except ValueError as error:
                raise _unquoted(words, where, str(error), "tojson") from None
        case ".php":
            checked = run(php.command("-l"), text, seconds=_SECONDS, missing="php_missing", what="php -l")
            if checked.exit_code:
                raise _unquoted(words, where, checked.complaint(words.secrets()), "php")
        case ".sh":
            checked = run(["sh", "-n"], text, seconds=_SECONDS)
            if checked.exit_code:
                raise _unquoted(words, where, checked.complaint(words.secrets()), "sh")


def _runs(words: Words, where: str, what: str, part: str) -> Exception:
    named = ", ".join(sorted(words.chosen(part)))
    advice = "pass it as an argument of its own, as in ['sh', '-c', 'tool \"$1\"', 'sh', '{{ title }}']"
    return wrong(words.recipe, f"{where}: {what} is code with a customer's {named} in it, which would run: {advice}")


def _unquoted(words: Words, where: str, complaint: str, name: str) -> Exception:
    title = words.plain["title"]
    return wrong(words.recipe, f"{where}: with the title {title!r} {complaint}; write {{{{ title | {name} }}}}")
