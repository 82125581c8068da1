"""The settings of what a hosting company adds to each WordPress of a site type."""

from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, field_validator

from foundation.config import sources
from foundation.config.section import Count, Section

_SET_ELSEWHERE = MappingProxyType(
    {
        **dict.fromkeys(("home", "siteurl", "blogname", "admin_email", "new_admin_email"), "the order"),
        "WPLANG": "locale",
        "timezone_string": "timezone",
        "permalink_structure": "permalinks",
        "active_plugins": "wordpress.plugins",
        **dict.fromkeys(("template", "stylesheet", "current_theme"), "wordpress.theme"),
        **dict.fromkeys(("cron", "rewrite_rules", "db_version", "initial_db_version"), "WordPress itself"),
    }
)
"""Options that are no setting, and what decides them."""


def _as_text(value: Any) -> Any:
    """WordPress keeps numbers as text, and switches as 1 and 0."""
    return str(int(value)) if isinstance(value, int) else value


Folder = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""The name of a plugin or theme: that of its folder."""
OptionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,191}$")]
OptionValue = Annotated[str, BeforeValidator(_as_text)]


class Theme(Section):
    """A theme that WordPress's own files do not have."""

    archive: Path = Field(description="its archive, a zip or tar with one folder at the top, which has the same name")
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="the archive's checksum, in lower case; sha256sum prints it"
    )
    largest_mib: Count = Field(256, description="the most that the archive may unpack to, MiB")
    most_files: Count = Field(20_000, description="the most files and folders that it may contain")


class Plugin(Theme):
    """A plugin, in an archive like a theme's."""

    active: bool = Field(True, description="true: activated, in the order of the settings; false: only there")


class WordPressExtras(Section):
    """For installer wordpress: what each site has from the beginning."""

    plugins: dict[Folder, Plugin] = Field(default_factory=dict)
    themes: dict[Folder, Theme] = Field(default_factory=dict)
    theme: Folder | None = Field(
        None,
        description="the theme that is active: one of wordpress.themes, or of those in WordPress's own files; empty:"
        " WordPress's own choice",
    )
    options: Annotated[dict[OptionName, OptionValue], sources.KEEPS_EMPTY] = Field(
        default_factory=dict,
        description="options of WordPress and of active plugins: text, numbers, true, false",
    )
    default_content: bool = Field(True, description="false: without WordPress's sample post, page and comment")

    @field_validator("options")
    @classmethod
    def _left_to_settings(cls, options: dict[str, str]) -> dict[str, str]:
        for name in options:
            if decides := _SET_ELSEWHERE.get(name):
                raise ValueError(f"cannot have {name}: {decides} decides it")
        return options
