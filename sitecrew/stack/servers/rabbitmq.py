"""A private RabbitMQ node, from the machine's rabbitmq-server package but separate from the machine's own node.

Everything it has is in one directory. It only listens on 127.0.0.1, and runs without epmd: Erlang's port daemon would
be shared with other nodes and outlive ours. (`-erl_epmd_port` makes node and rabbitmqctl agree on the distribution
port instead; kernel documentation, `erl_epmd`.)
"""

import os
import re
import secrets
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from foundation.errors import SitecrewError
from sitecrew.stack.ports import free_port, require_free
from sitecrew.stack.private_file import write_private
from sitecrew.stack.processes import PATH, Child, Command, ServerProcess
from sitecrew.stack.servers.rabbitmq_home import installed, lay_out

_NODE = "sitecrew@localhost"
_USER = "sitecrew"
_VERSION = re.compile(rb"\x07versionS...(.)", re.DOTALL)  # a field of the greeting's table: long string, length last
_BOOTED = "Server startup complete"  # it greets clients a moment before rabbitmqctl finds everything in place
_PLUGIN_PORTS = {"rabbitmq_management": "management", "rabbitmq_prometheus": "prometheus"}

_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
vm_memory_high_watermark.relative = 0.3
disk_free_limit.absolute = 50MB
log.console.level = info
"""


class PrivateRabbit(ServerProcess):
    """One node, which keeps its data, port and password across restarts and kills.

    `settings` are further lines of rabbitmq.conf, `plugins` those to enable; the ports of the management and
    Prometheus plugins are in `plugin_ports`. Raises `ConfigurationError` if RabbitMQ is not installed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        plugins: tuple[str, ...] = (),
        settings: Mapping[str, str] | None = None,
        patience: float = 90.0,
    ) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()
        self.plugin_ports = {plugin: free_port() for plugin in plugins if plugin in _PLUGIN_PORTS}
        self.version = ""
        """The running node's version, such as 3.10.8."""
        self._plugins = plugins
        self._settings = settings or {}
        self._patience = patience
        self._booted = threading.Event()
        self._distribution_port = free_port()
        self._sbin = installed()
        self._password = _kept_secret(self.directory / "password")
        self.child = Child(self._command(), self._hear)

    @property
    def amqp_url(self) -> str:
        """The URL for clients, with user and password."""
        return f"amqp://{_USER}:{self._password}@127.0.0.1:{self.port}/%2F"

    def start(self) -> None:
        """Starts the node and waits until it greets AMQP clients.

        Raises `SitecrewError` with the end of the node's log when it does not come up within `patience` seconds,
        `Refused` when the directory or the port is in use.
        """
        require_free("127.0.0.1", self.port, "RabbitMQ")
        self._booted.clear()
        self.child.start(prepare=self._write_configuration)
        remedy = f"If its data is damaged or of another RabbitMQ, move {self.directory} away and start again."
        self.version = self.child.ready(lambda: greeting(self.port), self._patience, remedy)

    def ctl(self, *arguments: str, seconds: float = 60.0) -> str:
        """Run rabbitmqctl on this node and return its output.

        The arguments are visible to everybody on the machine: pass no password. Raises `SitecrewError` with
        rabbitmqctl's message if it fails or takes longer.
        """
        if not self._booted.wait(self._patience):
            message = f"RabbitMQ does not finish its start: see {self.child.command.log}"
            raise SitecrewError(message)
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and the command is ours
                (str(self._sbin / "rabbitmqctl"), *arguments),
                env=self._environment() | {"RABBITMQ_CTL_ERL_ARGS": "-dist_listen false"},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=True,
            )
        except subprocess.TimeoutExpired:
            message = f"rabbitmqctl {arguments[0]} took more than {seconds:g} s: is the node overloaded or stopped?"
            raise SitecrewError(message) from None
        except subprocess.CalledProcessError as error:
            message = f"rabbitmqctl {arguments[0]} failed: {error.stderr.strip()[:600]}"
            raise SitecrewError(message) from None
        return done.stdout

    def _hear(self, _name: str, line: str) -> None:
        if _BOOTED in line:
            self._booted.set()

    def _command(self) -> Command:
        schedulers = min(4, len(os.sched_getaffinity(0)))
        erl = (
            f"-sname {_NODE} -kernel inet_dist_use_interface {{127,0,0,1}} "
            f"+S {schedulers}:{schedulers} +SDio 4 +sbwt none +sbwtdcpu none +sbwtdio none"
        )
        return Command(
            name="rabbitmq",
            # RABBITMQ_ALLOW_INPUT: the script becomes the node instead of waiting for it; then -noinput is ours to say.
            argv=("home/sbin/rabbitmq-server", "-noinput"),  # relative: the script does not quote its own directory
            environment=self._environment()
            | {
                "RABBITMQ_ALLOW_INPUT": "1",
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erl,
                "RABBITMQ_SCHEDULER_BIND_TYPE": "u",  # two nodes must not sit on the same core
                "RABBITMQ_LOGS": "-",
            },
            log=self.directory / "rabbitmq.log",
            directory=self.directory,
            claim=self.directory / "lock",
            grace=15.0,
            verdict="BOOT FAILED",
        )

    def _environment(self) -> dict[str, str]:
        """The environment of node and rabbitmqctl. Erlang looks for the cookie that they share in HOME."""
        return {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "HOME": str(self.directory),
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(self.directory / "plugins-expand"),
            "ERL_INETRC": str(self.directory / "inetrc"),
            "ERL_CRASH_DUMP_SECONDS": "0",  # none is written: it would hold the credentials
            "ERL_ZFLAGS": f"-start_epmd false -erl_epmd_port {self._distribution_port}",
        }

    def _write_configuration(self) -> None:
        self.directory.chmod(0o700)
        lines = _CONFIGURATION.format(port=self.port, user=_USER, password=self._password)
        for plugin, port in self.plugin_ports.items():
            key = _PLUGIN_PORTS[plugin]
            lines += f"{key}.tcp.ip = 127.0.0.1\n{key}.tcp.port = {port}\n"
        lines += "".join(f"{key} = {value}\n" for key, value in self._settings.items())
        write_private(self.directory / "rabbitmq.conf", lines)
        write_private(self.directory / "rabbitmq-env.conf", "")
        write_private(self.directory / "advanced.config", "[].\n")
        write_private(self.directory / "enabled_plugins", f"[{','.join(self._plugins)}].\n")
        # Erlang resolves localhost itself: no resolver process, and no dependence on the machine's resolver.
        write_private(self.directory / "inetrc", '{lookup,[file]}.\n{host,{127,0,0,1},["localhost"]}.\n')
        _kept_secret(self.directory / ".erlang.cookie")
        lay_out(self._sbin.parent, self.directory / "home", {"rabbit", *self._plugins})


def greeting(port: int) -> str | None:
    """The version of the broker that greets AMQP clients at this port of 127.0.0.1; None if none does.

    The greeting (Connection.Start, AMQP 0-9-1 section 4.2.2) comes after the client's header, before any login.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            frame = connection.recv(4096)
    except OSError:
        return None
    found = _VERSION.search(frame)
    return frame[found.end() : found.end() + found[1][0]].decode() if found else None


def _kept_secret(path: Path) -> str:
    """The secret in the file, which is created if missing."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_hex(16))
    return path.read_text()
