"""A check of `sitecrew doctor`, and its finding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from foundation.errors import Failed, SitecrewError


class Noted(SitecrewError):
    """Nothing is known to be wrong, but something could not be checked, or could be better."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy


@dataclass(frozen=True)
class Check:
    """One thing to check. `code` is the doctor's exit code if it fails; `needs` names a check that, if it fails, makes
    this one pointless."""

    name: str
    look: Callable[[], str]
    code: int = 1
    needs: str = ""


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    code: int = 0
    result: Literal["ok", "note", "skipped", "failed"] = "ok"


def examine(check: Check, ill: set[str]) -> Finding:
    """Run a check and turn errors into a finding. `ill` holds the names of the checks that failed so far, and gets
    this one's if it fails; a check that needs one of those is skipped."""
    if check.needs in ill:
        ill.add(check.name)
        return Finding(check.name, True, f"skipped: {check.needs} failed", result="skipped")
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
