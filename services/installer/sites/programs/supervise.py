"""Runs one program for the installer and leaves nothing of it behind.

A script of its own (`python -I -S supervise.py DESCRIPTOR`, standard library only) between the installer and a program
that may be a customer's. It is the subreaper of everything that the program starts (prctl(2)), so that processes that
leave the program's session are reparented to it and found. Standard streams are passed through to the program.

The descriptor is a socket. In: one line of JSON, the instructions. Out: one line of JSON, `{"exit": 0, "survivors": 0}`
or `{"errno": 2}` if the program could not be started. Anything else on the socket, such as the installer's death, ends
the program.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE = 5.0  # seconds for killed processes to be gone
_PAUSE = 0.005
_LIMITS = {
    "address_space": resource.RLIMIT_AS,
    "file_size": resource.RLIMIT_FSIZE,
    "processes": resource.RLIMIT_NPROC,
    "cpu_seconds": resource.RLIMIT_CPU,
    "core": resource.RLIMIT_CORE,
}


def main(descriptor: int) -> None:
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    order = json.loads(_line(control))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    # A service manager may tell every process to end; when this one's program does, the installer decides.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    try:
        program = _start(order)
    except OSError as error:
        _tell(control, {"errno": error.errno})
        return
    _forget_streams()
    exit_code = _follow(program.pid, control, woken)
    survivors = _end_all(program.pid)
    _tell(control, {"exit": exit_code, "survivors": survivors})
    os._exit(0)  # the program is nobody's to wait for any more


def _line(control: socket.socket) -> bytes:
    text = b""
    while not text.endswith(b"\n"):
        piece = control.recv(65536)
        if not piece:
            sys.exit(1)
        text += piece
    return text


def _start(order: dict[str, Any]) -> "subprocess.Popen[bytes]":
    def limit() -> None:
        for name, most in order["limits"].items():
            _, hard = resource.getrlimit(_LIMITS[name])
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(_LIMITS[name], (least, least))

    return subprocess.Popen(  # noqa: S603 - the order is the installer's
        order["command"],
        env=order["environment"],
        cwd=order["directory"],
        start_new_session=True,
        user=order["user"],
        group=order["group"],
        extra_groups=order["extra_groups"],
        umask=order["umask"],
        preexec_fn=limit,  # noqa: PLW1509 - no other thread is here
    )


def _forget_streams() -> None:
    """Close our copies: the program's pipes must end when the program does."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _follow(leader: int, control: socket.socket, woken: socket.socket) -> int:
    """Wait for the program, or for the socket to end it. Returns its exit code, negative for a signal."""
    poll = select.poll()  # unlike select(2), it takes numbers above 1 023, which ours are in a busy installer
    for inlet in (control, woken):
        poll.register(inlet, select.POLLIN)
    while True:
        if any(number == control.fileno() for number, _ in poll.poll()):
            return -signal.SIGKILL
        woken.recv(65536)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == leader:
                    return os.waitstatus_to_exitcode(ended[1])


def _end_all(leader: int) -> int:
    """Kill everything the program has started, generation by generation. Returns how many could not be killed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return 0
        there = _descendants()
        if time.monotonic() > give_up:
            return len(there)
        for pid in there:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def _descendants() -> set[int]:
    """All processes in /proc. If it hides other users' (hidepid), at least our own children, which the children of a
    killed one become."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):  # a kernel without CONFIG_PROC_CHILDREN
        own = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii")
        children[os.getpid()] = [int(pid) for pid in own.split()]
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int((process / "stat").read_bytes().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(process.name))
    found: set[int] = set()
    ahead = [os.getpid()]
    while ahead:
        for pid in children.get(ahead.pop(), ()):
            if pid not in found:
                found.add(pid)
                ahead.append(pid)
    return found


def _tell(control: socket.socket, outcome: dict[str, int | None]) -> None:
    with contextlib.suppress(OSError):
        control.sendall(json.dumps(outcome).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
