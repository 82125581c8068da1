"""From what is known of a completed install to what stands in its letter."""

from collections.abc import Callable

from foundation.config.settings import Settings, Site
from schemas.installs import InstallCompleted
from services.mailer.letter.content import PanelLogin, Welcome

MASK = "********"
"""In the place of passwords, where somebody else looks at a letter."""

_USUAL = Site()


def welcome_of(completed: InstallCompleted, settings: Settings, opened: Callable[[str], str], copy: int = 0) -> Welcome:
    """The letter's contents; `opened` is given each sealed password. Raises what that raises."""
    login, account = completed.login, completed.account
    site = settings.sites.get(completed.site.site_type, _USUAL)
    panel = account.control_panel if site.display_control_panel_login else None
    return Welcome(
        install_id=completed.install_id,
        order_id=completed.order_id,
        generation=completed.generation,
        copy=copy,
        customer_name=completed.customer.name,
        customer_email=completed.customer.email,
        domain=account.domain,
        site_type=completed.site.site_type,
        application=completed.application,
        site_url=completed.site.url,
        login_url=login.login_url if login else None,
        username=login.username if login else None,
        password=opened(login.sealed_password) if login else None,
        address=account.address,
        temporary=site.address == "temporary",
        locale=completed.site.locale,
        dns=settings.mailer.dns_records,
        www=f"www.{account.domain}" in (account.aliases or ()),
        control_panel=PanelLogin(panel.url, panel.username, opened(panel.sealed_password)) if panel else None,
    )
