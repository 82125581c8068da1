"""Order intake as a process of its own."""

import sys

from foundation.config.servers import servers_of
from foundation.config.settings import Settings
from foundation.service.process import run_alone, serve
from services.order_intake import service


def main(settings: Settings) -> int:
    return serve(
        "order-intake",
        settings,
        settings.order_intake,
        service.MIGRATIONS,
        service.load,
        lambda parts: service.IntakeService(settings, parts, servers_of(settings)),
    )


if __name__ == "__main__":
    sys.exit(run_alone(main))
