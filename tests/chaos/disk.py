"""Small file systems of a run's own, in memory, which can be full.

They are mounted in a mount namespace of this process's own: nobody else sees them, and they are gone when it ends.
"""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

_ROOMY = "4g"
_SLACK = 256
"""Pages."""
_OWN = "SITECREW_CHAOS_MOUNTS"


def may_mount() -> bool:
    """Whether this process can have file systems of its own."""
    return os.geteuid() == 0 and bool(shutil.which("unshare")) and os.environ.get(_OWN) != "none"


def with_own_mounts(argv: list[str]) -> None:
    """Go on as the same process in a mount namespace of its own, if that is possible and has not been done."""
    if not may_mount() or os.environ.get(_OWN):
        return
    own = ["unshare", "--mount", "--propagation", "private"]
    possible = not subprocess.run([*own, "true"], check=False, capture_output=True).returncode
    os.environ[_OWN] = "own" if possible else "none"
    if possible:
        os.execvp(own[0], [*own, *argv])  # noqa: S606 - a shell would add nothing


class Disk:
    """A file system at a directory; an ordinary directory where none can be mounted."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.mounted = may_mount()
        self._kept = False
        place.mkdir(parents=True)
        if self.mounted:
            _run("mount", "-t", "tmpfs", "-o", f"size={_ROOMY},mode=755", "sitecrew-chaos", str(place))

    def fill(self) -> None:
        """Leave next to no room: shrink it to what is used, and a little that may have been written meanwhile."""
        used = os.statvfs(self.place)
        kept = (used.f_blocks - used.f_bfree + _SLACK) * used.f_frsize
        _run("mount", "-o", f"remount,size={kept}", str(self.place))
        _fill(self.place / ".filler")

    def empty(self) -> None:
        """Make room again."""
        _run("mount", "-o", f"remount,size={_ROOMY}", str(self.place))
        (self.place / ".filler").unlink(missing_ok=True)

    def keep(self) -> None:
        """Turn it into an ordinary directory, which outlives this process."""
        copy = self.place.with_name(f"{self.place.name}.kept")
        shutil.copytree(self.place, copy, symlinks=True, ignore_dangling_symlinks=True)
        self.remove()
        copy.rename(self.place)
        self._kept = True

    def remove(self) -> None:
        if self._kept:
            return
        if self.mounted:
            self.mounted = False
            with suppress(subprocess.CalledProcessError):
                _run("umount", "--lazy", str(self.place))
        shutil.rmtree(self.place, ignore_errors=True)


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as opened:
        while opened.write(bytes(4096)):
            pass


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
