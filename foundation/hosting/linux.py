"""A Linux user per account, for hosts whose customers use SFTP or run PHP as themselves."""

import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from foundation.hosting.causes import failed

_SECONDS = 30.0
_ALREADY_THERE = 9  # useradd(8), exit values


def check_tools(web_group: str) -> None:
    """Raise `Failed` (server_denied) if this process cannot create Linux users or `web_group` does not exist."""
    if os.geteuid() != 0:
        raise failed("server_denied", "creating Linux users requires root, but this process is not root")
    for program in ("useradd", "chpasswd"):
        if shutil.which(program) is None:
            raise failed("server_denied", f"the program {program} was not found")
    try:
        grp.getgrnam(web_group)
    except KeyError:
        raise failed("server_denied", f"the group {web_group} does not exist") from None


def refuse_taken(username: str, home: Path) -> None:
    """Raise `Failed` (username_taken) if the machine has a user of that name with another home, such as `mysql`."""
    try:
        lives_at = pwd.getpwnam(username).pw_dir
    except KeyError:
        return
    if lives_at != str(home):
        raise failed("username_taken", f"{username} is already a system user, with the home {lives_at}")


def ensure_user(username: str, home: Path, password: str) -> None:
    """Create the user if needed and set the password, which goes through stdin, never argv."""
    options = ["--no-create-home", "--home-dir", str(home), "--shell", "/usr/sbin/nologin", "--user-group"]
    _run(["useradd", *options, username], allowed=(0, _ALREADY_THERE))
    refuse_taken(username, home)
    _run(["chpasswd"], stdin=f"{username}:{password}\n")


def hand_over(www: Path, username: str, web_group: str) -> None:
    """Give the document root to the user, readable by the web server's group and nobody else.

    The home still belongs to root: anyone able to rename `www` or `private` could redirect what we do as root.
    """
    handle = os.open(www, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(handle, pwd.getpwnam(username).pw_uid, grp.getgrnam(web_group).gr_gid)
        os.fchmod(handle, 0o2750)
    finally:
        os.close(handle)


def _run(command: list[str], *, stdin: str = "", allowed: tuple[int, ...] = (0,)) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - usernames have been checked by their pattern
            command, input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise failed("server_denied", f"{command[0]}: {type(error).__name__}") from None
    if done.returncode not in allowed:
        raise failed("server_denied", f"{command[0]} exited with {done.returncode}: {done.stderr.strip()[:300]}")
