"""Stop on SIGTERM or SIGINT."""

import os
import signal
import socket
import threading


def stop_on_signals() -> threading.Event:
    """Return an event that the first signal sets; the second ends the process with exit code 128 + its number.

    Python runs signal handlers in the main thread only, between bytecodes. If another thread receives the signal while
    the main thread waits without a timeout, the handler would never run. So the handlers here do nothing; instead, the
    interpreter writes the signal's number to a socket (signal.set_wakeup_fd), whichever thread receives it.
    """
    stop = threading.Event()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def listen() -> None:
        with receiver, sender:
            receiver.recv(1)
            stop.set()
            os._exit(128 + receiver.recv(1)[0])

    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    threading.Thread(target=listen, name="signals", daemon=True).start()
    return stop
