"""The web server for static sites, by itself: `python -m sitecrew.stack.web --root /srv/hosting`."""

import argparse
import signal
import threading
from pathlib import Path

from foundation.addresses import HostPort
from sitecrew.stack.web import static


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sitecrew.stack.web", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="the hosting root")
    parser.add_argument(
        "--address", type=HostPort.parse, default="127.0.0.1:8080", metavar="HOST:PORT", help="where to listen"
    )
    options = parser.parse_args()
    server = static.serve(options.root, *options.address)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not from the handler itself: it would wait for the loop that it interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


main()
