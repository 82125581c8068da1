"""What a check of `sitecrew doctor` is, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from foundation.errors import Failed, SitecrewError


class Noted(SitecrewError):
    """Nothing is wrong as far as can be seen, and a person should know what can't, or what would be better."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy


@dataclass(frozen=True)
class Check:
    """Something to look at. `code` is the exit code of the doctor if it is not well; `needs` names the check without
    which it would only tell the same trouble again."""

    name: str
    look: Callable[[], str]
    code: int = 1
    needs: str = ""


@dataclass(frozen=True)
class Finding:
    """What came of a check."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    code: int = 0
    result: Literal["ok", "note", "skipped", "failed"] = "ok"


def examine(check: Check, ill: set[str]) -> Finding:
    """Look, and turn what is wrong into a finding. `ill` has the names of the checks before that were not well, and
    gets this one's; a check that needs one of those is left out, and says so."""
    if check.needs in ill:
        ill.add(check.name)
        return Finding(check.name, True, f"not looked at: {check.needs} is not well", result="skipped")
    finding = _looked(check)
    if not finding.ok:
        ill.add(check.name)
    return finding


def _looked(check: Check) -> Finding:
    try:
        return Finding(check.name, True, check.look())
    except Noted as noted:
        return Finding(check.name, True, str(noted), noted.remedy, result="note")
    except Failed as failure:
        return Finding(check.name, False, str(failure), failure.cause.remedy, check.code, "failed")
    except (SitecrewError, OSError) as error:
        return Finding(check.name, False, str(error), "", check.code, "failed")
