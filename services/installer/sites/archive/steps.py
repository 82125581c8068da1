"""The steps of a recipe: carried out in the staged tree, or rehearsed without touching anything."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from foundation.hosting.disk import disk_errors
from services.installer.sites.archive.judging import judge_command, judge_file
from services.installer.sites.archive.reading import wrong
from services.installer.sites.archive.recipe import Recipe, Remove, Run, RunPhp, Step, Write
from services.installer.sites.archive.variables import Words
from services.installer.sites.causes import failed
from services.installer.sites.deployment import Site
from services.installer.sites.docroot import safe_paths
from services.installer.sites.programs import PATH, Owner, run, unsupported
from services.installer.sites.programs.php import Php
from services.installer.sites.verification.verify import Page


def carry_out(recipe: Recipe, words: Words, site: Site, php: Php) -> None:
    """Carry out all steps, in order. The tree may already be the customer's, with their processes working in it.

    Raises `Failed`: recipe_wrong, program_missing, php_missing, step_failed, timeout, db_*, disk_*.
    """
    owner = site.docroot.owner()
    for where, step in _steps(recipe):
        with site.step(step.name), _touching(step):
            match step:
                case Write():
                    text = _text(step, where, words)
                    safe_paths.write(site.stage, step.write, text, int(step.mode, 8), owner)
                case Remove():
                    for path in step.remove:
                        safe_paths.remove(site.stage, path)
                case Run() | RunPhp():
                    _run(step, where, words, site, php)


def rehearse(recipe: Recipe, words: Words, php: Php, *, thoroughly: bool = False) -> None:
    """Render every template and look for every program; if `thoroughly`, also check that customers' values do not break
    the files that are written. Raises `Failed`: recipe_wrong, program_missing."""
    for where, step in _steps(recipe):
        match step:
            case Write():
                text = _text(step, where, words)
                if thoroughly:
                    judge_file(step.write, where, words, text, php)
            case Run() | RunPhp():
                words.render(f"{where}.stdin", step.stdin, confidential=True)
                program = _command(step, where, words, php)[0]
                if isinstance(step, Run) and not _is_there(program):
                    raise failed("program_missing", f"step {step.name!r}: {program} is not in {PATH}")
    pages_of(recipe, words)
    login_url_of(recipe, words)


def _is_there(program: str) -> bool:
    """Whether a program can be found; one of the site's own, at a relative path, does not exist yet."""
    return (not program.startswith("/") and "/" in program) or shutil.which(program, path=PATH) is not None


def pages_of(recipe: Recipe, words: Words) -> tuple[Page, ...]:
    """The pages to be verified."""
    return tuple(
        Page(
            _address(words, f"verify.{number}.path", seen.path),
            tuple(words.render(f"verify.{number}.shows", text) for text in seen.shows),
            tuple(words.render(f"verify.{number}.hides", text) for text in seen.hides),
            seen.status,
        )
        for number, seen in enumerate(recipe.verify)
    )


def login_url_of(recipe: Recipe, words: Words) -> str | None:
    """The URL where the customer logs in; None if there is no login."""
    return None if recipe.login is None else _address(words, "login.path", recipe.login.path)


def _address(words: Words, where: str, path: str) -> str:
    return str(words.plain["url"]) + words.render(where, path).lstrip("/")


def _steps(recipe: Recipe) -> Iterator[tuple[str, Step]]:
    return ((f"steps.{number} ({step.name})", step) for number, step in enumerate(recipe.steps))


@contextmanager
def _touching(step: Step) -> Iterator[None]:
    """Errors with files fail the step, unless they are the disk's."""
    try:
        with disk_errors(f"step {step.name!r}"):
            yield
    except OSError as error:
        raise failed("step_failed", f"step {step.name!r}: {error.strerror} at {error.filename}") from None


def _text(step: Write, where: str, words: Words) -> str:
    text = step.text
    if step.template is not None:
        place = words.recipe.parent / step.template
        try:
            text = place.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise wrong(words.recipe, f"{where}: cannot read {place}: {reason}") from None
    return words.render(f"{where}.{'text' if step.template is None else 'template'}", text or "", confidential=True)


def _command(step: Run | RunPhp, where: str, words: Words, php: Php) -> list[str]:
    verb, parts = ("run", step.run) if isinstance(step, Run) else ("php", step.php)
    rendered = [words.render(f"{where}.{verb}", part) for part in parts]
    judge_command(step, f"{where}.{verb}", words, rendered)
    return rendered if isinstance(step, Run) else php.command(*rendered)


def _run(step: Run | RunPhp, where: str, words: Words, site: Site, php: Php) -> None:
    left = (site.job.deadline - datetime.now(UTC)).total_seconds()
    what = f"step {step.name!r}"
    owner = site.docroot.owner()
    command = _command(step, where, words, php)
    script = command[-len(step.php)] if isinstance(step, RunPhp) else command[0]
    with _within_reach(script, words.recipe.parent, site.stage, owner) as reachable:
        ran = run(
            [reachable if part == script else part for part in command],
            words.render(f"{where}.stdin", step.stdin, confidential=True),
            seconds=left if step.seconds is None else min(step.seconds, left),
            owner=owner,
            directory=site.stage,
            limits=php.limits,
            missing="program_missing" if isinstance(step, Run) else "php_missing",
            what=what,
        )
    answer = ran.answer() or {}
    if ran.exit_code != step.exit_code or (step.answers and answer.get("ok") is not True):
        raise ran.why("step_failed", what, words.secrets())
    if step.answers:
        _compare(answer.get("stored"), words, what)


def _compare(stored: object, words: Words, what: str) -> None:
    """What an application reports to have stored of the order must equal what was ordered, exactly."""
    for field, value in stored.items() if isinstance(stored, dict) else ():
        ordered = words.plain["login"]["username"] if field == "username" else words.plain.get(field)
        if value != ordered:
            raise unsupported(field, what)


@contextmanager
def _within_reach(script: str, recipe: Path, stage: Path, owner: Owner | None) -> Iterator[str]:
    """A script of the recipe's that the customer's user can open: itself, or a copy in the tree while it runs.

    The recipe may be in a folder that only we can enter.
    """
    path = Path(script)
    if owner is None or not path.is_relative_to(recipe) or not path.is_file() or _may_open(path, owner):
        yield script
        return
    name = f".sitecrew-{secrets.token_hex(16)}{path.suffix}"
    mode = 0o750 if os.access(path, os.X_OK) else 0o640
    safe_paths.write(stage, name, path.read_text("utf-8", "surrogateescape"), mode, owner)
    try:
        yield str(stage / name)
    finally:
        safe_paths.remove(stage, name)


def _may_open(path: Path, owner: Owner) -> bool:
    """Whether a file's permissions, and those of all folders above it, let a user open it."""
    return all(_allowed(folder.stat(), owner, 0o1) for folder in path.parents) and _allowed(path.stat(), owner, 0o4)


def _allowed(found: os.stat_result, owner: Owner, wanted: int) -> bool:
    shift = 6 if found.st_uid == owner[0] else 3 if found.st_gid == owner[1] else 0
    return bool(found.st_mode >> shift & wanted)
