"""Keeping children from outliving us."""

# The shell leaves a watcher in the child's process group and becomes the child. The watcher reads a pipe whose
# other end only we hold: when we end, however we end, it reads the end of file and kills its own group. We write
# nothing to it, and a line that strays into it from elsewhere in our process ends nothing. A parent-death signal
# (prctl) would come when the *thread* that started the child ends, and would reach the child alone. The watcher
# keeps stdout open, so that our end of file there means: the group is gone; and while it lives, the group's number
# cannot be given to anybody else.
_LEASH = (
    "exec 3<&0 </dev/null; "
    '(trap "" HUP INT QUIT TERM; while read -r _; do :; done <&3; kill -KILL 0) & '
    'exec "$@" 3<&-'
)  # fmt: skip


def leashed(name: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments that run the program on a leash: in a session of its own, with a pipe of ours as its stdin.

    The process that is started becomes the program, so its pid is the program's. The program's own stdin is empty. Its
    whole process group is killed when the pipe is closed.
    """
    return ("/bin/sh", "-c", _LEASH, name, *argv)
