"""What `sitecrew doctor` checks on hosting servers: what an install needs, without an order."""

from datetime import timedelta

from foundation.clock import utc_now
from foundation.config.servers import server_of
from foundation.config.settings import Settings
from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from schemas.values import CauseKind
from services.installer.sites.registry import installer_of
from services.installer.sites.static import Static
from services.installer.sites.verification.trial import try_install
from services.installer.sites.verification.verify import front_of, unexpected
from services.installer.sites.verification.visitor import Visitor

_PATIENCE = timedelta(seconds=10)
_SHUT = (401, 403, 407, 429)


def server(settings: Settings, name: str) -> str:
    server_of(settings, name).check()
    return "can take accounts"


def databases(settings: Settings, name: str) -> str:
    asked = server_of(settings, name).databases
    if not isinstance(asked, MariaDatabases):
        return "are provided by a plug-in, which cannot be checked"
    return asked.describe()


def web(settings: Settings, name: str) -> str:
    """Verify a page of our own under its own name, as an install does, if we may create one there."""
    asked = server_of(settings, name)
    try:
        if not isinstance(asked, LocalServer) or not _takes_accounts(asked):
            return _answers(settings, name)
        kinds = {site.address for site in settings.sites.values() if site.sold} or {"domain"}
        www = any(site.www for site in settings.sites.values() if site.sold)
        for kind in sorted(kinds):
            try_install(Static(), asked, temporary=kind == "temporary", www=www)
    except Failed as failure:
        if failure.cause.code not in ("verify_failed", "web_down", "web_silent"):
            raise
        setting = f"servers.{name}"
        raise Failed.because(
            "web_unreachable",
            CauseKind.TRANSIENT,
            f"every install will fail: {failure.cause.detail}",
            f"make sure that the web server runs and serves what is below {setting}.root, or correct"
            f" {setting}.web_address, {setting}.scheme and the other settings in docs/hosting.md",
        ) from None
    return f"{asked.web_address} serves a test site at its {' and '.join(sorted(kinds))} address"


def site(settings: Settings, site_type: str, name: str, *, install: bool) -> str:
    installer, asked = installer_of(settings, site_type), server_of(settings, name)
    getattr(installer, "rehearse", installer.check)(asked)
    if not install or not isinstance(asked, LocalServer):
        return "can be installed"
    own = settings.sites[site_type]
    try_install(installer, asked, temporary=own.address == "temporary", www=own.www)
    return "was installed as a trial, and removed"


def _takes_accounts(asked: LocalServer) -> bool:
    try:
        asked.check()
    except (Failed, OSError):
        return False
    return True


def _answers(settings: Settings, name: str) -> str:
    """Whether something answers at the server's address, without asking for a login."""
    asked = server_of(settings, name)
    front = front_of(asked)
    with Visitor(front, utc_now() + _PATIENCE) as visitor:
        answer = visitor.visit(front.url(asked.address))
    if answer.status in _SHUT or answer.location:
        raise Failed.because(
            "verify_failed",
            CauseKind.TRANSIENT,
            f"{answer.asked} answered {unexpected(answer, 200, front.setting)}",
            "see docs/hosting.md",
        )
    return f"{front.address} answers ({answer.status})"
