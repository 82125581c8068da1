"""The installer as a process of its own."""

import sys

from foundation.config.servers import servers_of
from foundation.config.settings import Settings
from foundation.service.process import run_alone, serve
from services.installer import service
from services.installer.sites.registry import installers_of


def main(settings: Settings) -> int:
    return serve(
        "installer",
        settings,
        settings.installer,
        service.MIGRATIONS,
        service.load,
        lambda parts: service.InstallerService(settings, parts, servers_of(settings), installers_of(settings)),
    )


if __name__ == "__main__":
    sys.exit(run_alone(main))
