"""The mailer as a process of its own."""

import sys

from foundation.config.settings import Settings
from foundation.service.process import run_alone, serve
from services.mailer import service
from services.mailer.letter.rendering import letters_of


def main(settings: Settings) -> int:
    opener, own = service.opener_of(settings.keys), settings.mailer
    return serve(
        "mailer",
        settings,
        own,
        service.MIGRATIONS,
        service.load,
        lambda parts: service.MailerService(settings, parts, letters_of(own), service.smtp_of(own), opener),
    )


if __name__ == "__main__":
    sys.exit(run_alone(main))
