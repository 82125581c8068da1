"""A small proxy in front of a server, whose connections can be cut, and which can hold back what is sent."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

Address = tuple[str, int] | Path
"""Host and port, or a Unix socket."""

_CHUNK = 1 << 16


class Proxy:
    """Passes on connections from one address to another. Its methods may be called from any thread."""

    def __init__(self, network: "Network", here: Address, there: Address) -> None:
        self._network, self._here, self._there = network, here, there
        self._writers: set[asyncio.StreamWriter] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._refuses = False

    async def listen(self) -> asyncio.Server:
        if isinstance(self._here, Path):
            return await asyncio.start_unix_server(self._serve, self._here)
        return await asyncio.start_server(self._serve, *self._here)

    def cut(self) -> None:
        """Reset all connections."""
        self._network.call(self._cut)

    def hold(self) -> None:
        """Swallow all that is sent from now on, until `release`."""
        self._network.call(self._passes.clear)

    def release(self) -> None:
        """Deliver what was held back, as TCP does once packets arrive again."""
        self._network.call(self._passes.set)

    def refuse(self, *, refuses: bool) -> None:
        """Reset each new connection, or no more."""
        self._refuses = refuses
        if refuses:
            self.cut()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passes.wait()
            if self._refuses:
                return
            answers, onward = await self._connect()
            self._writers.add(onward)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, onward))
                    both.create_task(self._pump(answers, writer))
            finally:
                self._drop(onward)
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._drop(writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._there, Path):
            return await asyncio.open_unix_connection(self._there)
        return await asyncio.open_connection(*self._there)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort() if writer.transport.get_write_buffer_size() == 0 else writer.close()


P = TypeVar("P", bound=Proxy)


class Network:
    """The proxies of a run, on one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._servers: list[asyncio.Server] = []

    def proxy(self, here: Address, there: Address) -> Proxy:
        """Open a proxy. Raises OSError if it cannot listen there."""
        return self.open(Proxy(self, here, there))

    def open(self, made: P) -> P:
        """The same of one that is made already."""
        self._servers.append(asyncio.run_coroutine_threadsafe(made.listen(), self._loop).result(10))
        return made

    def call(self, do: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(do)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            for server in self._servers:
                server.close()
            mine = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not mine]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
