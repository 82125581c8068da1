"""Being told to stop, by SIGTERM or SIGINT."""

import os
import signal
import socket
import threading


def stop_on_signals() -> threading.Event:
    """What the first of these signals sets; the second ends the process at once, with exit code 128 + its number.

    The kernel wakes the main thread for a signal, but whichever thread looks first takes it: one that just now starts a
    thread or a program does. Python then runs a handler only when the main thread comes round, and one that waits
    without a timeout never does. So handlers do nothing here. What tells us is the number that the interpreter writes
    to a socket, on whichever thread the signal came (signal.set_wakeup_fd).
    """
    stop = threading.Event()
    heard, told = socket.socketpair()
    told.setblocking(False)

    def listen() -> None:
        with heard, told:
            heard.recv(1)
            stop.set()
            os._exit(128 + heard.recv(1)[0])

    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    threading.Thread(target=listen, name="signals", daemon=True).start()
    return stop
