"""A recipe: how one application becomes a site. A TOML file that an operator writes; docs/archive.md explains it."""

import math
import re
import string
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from schemas.values import Line


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ValueError("must stay inside the site: write it like 'conf/local.php', without '/' in front or '..'")
    return str(PurePosixPath(path))


def _pattern(expression: str) -> str:
    try:
        groups = re.compile(expression).groups
    except re.error as error:
        raise ValueError(f"is not a valid regular expression ({error})") from None
    if groups != 1:
        raise ValueError("needs one pair of parentheses, around the version")
    return expression


Inside = Annotated[str, AfterValidator(_inside)]
"""A path of a file or folder below a given one."""
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Part(BaseModel):
    """A part of a recipe. Unknown keys are errors; values are never repeated in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Source(Part):
    """Where the application's files come from."""

    path: Path = Field(description="the archive: tar (also .gz, .bz2, .xz) or zip; relative to the recipe's folder")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="its checksum, in lower case; `sha256sum` prints it")
    folder: Inside | None = Field(None, description="the folder in it that becomes the site; without it, the whole")
    largest: int = Field(1 << 30, ge=1, description="the most bytes it may unpack to")
    most_files: int = Field(50_000, ge=1, description="the most files and folders it may contain")


class VersionIn(Part):
    """A version that is read from the unpacked files."""

    file: Inside = Field(description="a file of the site")
    pattern: Annotated[str, AfterValidator(_pattern)] = Field(
        "(.+)", description="a regular expression; its parentheses hold the version"
    )


class PhpNeeds(Part):
    """What an application in PHP needs. Without this section it is taken for one without PHP."""

    extensions: list[str] = Field(default_factory=list, description="the extensions that PHP must have")


class Password(Part):
    """How passwords are made that the application takes as they are."""

    length: int = Field(20, ge=8, le=128, description="how many letters")
    letters: str = Field(string.ascii_letters + string.digits, description="which ones it may be made of")

    @model_validator(mode="after")
    def _hard_to_guess(self) -> "Password":
        if not all("!" <= letter <= "~" for letter in self.letters):
            raise ValueError("letters must be printable ASCII, without spaces")
        if self.length * math.log2(max(1, len(set(self.letters)))) < _BITS:
            raise ValueError(f"can be guessed: raise length, or allow more letters, for at least {_BITS} bits")
        return self


_BITS = 64


class Login(Part):
    """What the welcome letter tells. Without this section the customer gets no login."""

    path: str = Field(description="the site's login page; a template without secrets")
    username: str = Field("{{ account }}", description="a template without secrets")
    password: Password = Field(Password(), description="how the password is made")


class Secret(Part):
    """One secret, as `secrets.<name>` in templates: made anew for each install, or read from a file."""

    random: int | None = Field(None, ge=8, le=256, description="this many letters and digits, new for each install")
    file: Path | None = Field(None, description="a file that holds it; relative to the recipe's folder")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Secret":
        if (self.random is None) == (self.file is None):
            raise ValueError("needs either random or file")
        return self


class _Step(Part):
    name: Line = Field(description="what it is for, in a word or two; causes and logs show it")


class _Program(_Step):
    stdin: str = Field("", description="a template, may hold secrets; the program reads it from its standard input")
    seconds: float | None = Field(
        None,
        gt=0,
        description="after this it is stopped, with all its children; without it, when the install's time ends",
    )
    exit_code: int = Field(0, ge=0, le=255, description="the exit code of success")
    answers: bool = Field(False, description='true: success must also end with the line `{"ok": true}` on stdout')


class Write(_Step):
    """A file from a template."""

    write: Inside = Field(description="the file; folders are made as needed, a file that is there is replaced")
    text: str | None = Field(None, description="the template itself, may hold secrets")
    template: Path | None = Field(None, description="or the file that holds it; relative to the recipe's folder")
    mode: Literal["0600", "0640", "0660", "0750"] = Field("0640", description="its permissions; none for others")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Write":
        if (self.text is None) == (self.template is None):
            raise ValueError("needs either text or template")
        return self


class Run(_Program):
    """A command, in the site's folder."""

    run: list[str] = Field(min_length=1, description="program and arguments, each a template without secrets")


class RunPhp(_Program):
    """A PHP script, in the site's folder."""

    php: list[str] = Field(min_length=1, description="script and arguments, each a template without secrets")


class Remove(_Step):
    """Files or folders that no visitor must find, like the application's own installer."""

    remove: list[Inside] = Field(min_length=1, description="what to remove; a missing file is not an error")


Version = Annotated[
    Annotated[Line, Tag("given")] | Annotated[VersionIn, Tag("read")],
    Discriminator(lambda version: "given" if isinstance(version, str) else "read"),
]

_VERBS = ("write", "run", "php", "remove")


def _verb(step: Any) -> str | None:
    found = [verb for verb in _VERBS if (verb in step if isinstance(step, dict) else hasattr(step, verb))]
    return found[0] if len(found) == 1 else None


Step = Annotated[
    Annotated[Write, Tag("write")]
    | Annotated[Run, Tag("run")]
    | Annotated[RunPhp, Tag("php")]
    | Annotated[Remove, Tag("remove")],
    Discriminator(
        _verb,
        custom_error_type="verb",
        custom_error_message=f"needs exactly one of {', '.join(_VERBS)}",
    ),
]


class Seen(Part):
    """A page of the site that must answer as told before anybody says that it is installed."""

    path: str = Field(description="its path below the site's address, '' for the home page; without secrets")
    status: int = Field(200, ge=200, le=599, description="the status of the answer")
    shows: list[str] = Field(default_factory=list, description="texts that must be there; templates without secrets")
    hides: list[str] = Field(default_factory=list, description="texts that must not be there, like 'Fatal error'")


class Recipe(Part):
    """How one application becomes a site."""

    application: Line = Field(description="the name that people know it by")
    version: Version = Field(description="its version, or where to read it")
    archive: Source = Field(description="its files")
    database: bool = Field(False, description="true: the site gets a database of its own")
    php: PhpNeeds | None = Field(None, description="for PHP applications")
    secrets: dict[Word, Secret] = Field(default_factory=dict, description="further secrets, for templates")
    login: Login | None = Field(None, description="what the customer logs in with")
    steps: list[Step] = Field(default_factory=list, description="what is done to the files, in order")
    verify: list[Seen] = Field(min_length=1, description="how the site must answer")

    @model_validator(mode="after")
    def _php_scripts_need_php(self) -> "Recipe":
        if self.php is None and any(isinstance(step, RunPhp) for step in self.steps):
            raise ValueError("a step runs PHP: say so with a section [php], which may name extensions")
        return self
