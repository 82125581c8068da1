"""The events that answer a command. Any command can also be refused, by `command.refused`, which names it."""

from collections.abc import Mapping

from schemas.installs import (
    InstallCancel,
    InstallCancelled,
    InstallResolve,
    InstallResolved,
    InstallRetry,
    InstallStaged,
    TimerPause,
    TimerPaused,
    TimerResume,
    TimerResumed,
    TimerRunNow,
)
from schemas.mails import MailFailed, MailPreview, MailResend, MailSent, PreviewRendered
from schemas.orders import (
    OrderAccepted,
    OrderAmend,
    OrderAmended,
    OrderCancel,
    OrderReinstall,
    OrderRetry,
    OrderWithdrawn,
)
from schemas.servers import ServerClosed, ServerOpened, ServerPause, ServerResume
from schemas.services import SiteTypeConfigure, SiteTypeConfigured
from schemas.values import Model

ANSWERS: Mapping[type[Model], tuple[type[Model], ...]] = {
    OrderCancel: (OrderWithdrawn,),
    OrderReinstall: (InstallStaged,),
    OrderRetry: (OrderAccepted,),
    OrderAmend: (OrderAmended,),
    InstallCancel: (InstallCancelled,),
    InstallRetry: (InstallStaged,),
    InstallResolve: (InstallResolved,),
    MailPreview: (PreviewRendered,),
    MailResend: (MailSent, MailFailed),
    TimerPause: (TimerPaused,),
    TimerResume: (TimerResumed,),
    TimerRunNow: (),
    ServerPause: (ServerOpened,),
    ServerResume: (ServerClosed,),
    SiteTypeConfigure: (SiteTypeConfigured,),
}
"""By command, what confirms it; one without answers is done once it is sent."""
