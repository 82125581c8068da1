"""The api as a process of its own."""

import sys

from foundation.config.queues import with_api
from foundation.config.settings import Settings
from foundation.service.process import run_alone, serve
from services.api import service


def main(settings: Settings) -> int:
    return serve(
        "api",
        settings,
        settings.api,
        service.MIGRATIONS,
        service.load,
        lambda parts: service.ApiService(settings, parts),
        with_api,
    )


if __name__ == "__main__":
    sys.exit(run_alone(main))
