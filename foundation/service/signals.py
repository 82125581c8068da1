"""Stop on SIGTERM or SIGINT."""

import os
import signal
import socket
import struct
import threading

_SENDER = struct.Struct("3i")
"""Process, user and group of whoever has written (unix(7), SCM_CREDENTIALS)."""


class Stop(threading.Event):
    """Set when the process is to end."""

    told_by = ""
    """The name of the signal that says so; empty if none did, and something has failed."""


def stop_on_signals() -> Stop:
    """Return an event that the first signal sets; the second ends the process with exit code 128 + its number.

    Python runs signal handlers in the main thread only, between bytecodes. If another thread receives the signal while
    the main thread waits without a timeout, the handler would never run. So the handlers here do nothing; instead, the
    interpreter writes the signal's number to a socket (signal.set_wakeup_fd), whichever thread receives it. A child
    has that socket, too, from its fork until it becomes another program: what is written there is not meant for us.
    """
    stop = Stop()
    receiver, sender = socket.socketpair()
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    sender.setblocking(False)

    def listen() -> None:
        with receiver, sender:
            try:
                stop.told_by = signal.Signals(_next(receiver)).name
            finally:  # without the socket no signal would be heard any more
                stop.set()
            os._exit(128 + _next(receiver))

    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    threading.Thread(target=listen, name="signals", daemon=True).start()
    return stop


def _next(receiver: socket.socket) -> int:
    """Wait for a signal to this process; return its number. Raises OSError if the socket was closed."""
    while True:
        told, attached, *_ = receiver.recvmsg(1, socket.CMSG_SPACE(_SENDER.size))
        if not told:
            raise ConnectionResetError("the socket by which signals are told was closed")
        if _SENDER.unpack(attached[0][2])[0] == os.getpid():
            return told[0]
