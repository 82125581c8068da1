"""What must be true of a WordPress once it is served."""

from collections.abc import Iterable

from services.installer.sites.deployment import Built, Site
from services.installer.sites.verification.probe import Probe
from services.installer.sites.verification.verify import Page

_ORDERED = "; if the home page answers, the permalinks are wrong, or the web server does not route them to WordPress"
_LOGIN_FORM = 'id="loginform"'


def built(
    site: Site, database: str, probe: Probe, *, version: str, title: str, routed: Iterable[str], sealed_password: str
) -> Built:
    """A complete tree; `title` is what its pages show, `routed` are URLs for which there is no file."""
    url = site.job.url
    return Built(
        application="WordPress",
        version=version,
        pages=(
            Page(url, (title,)),
            Page(f"{url}wp-login.php", (_LOGIN_FORM,)),
            *(Page(address, (title,), hint=_ORDERED) for address in routed),
        ),
        probe=probe,
        login_url=f"{url}wp-login.php",
        username=site.job.username,
        sealed_password=sealed_password,
        database=database,
    )
