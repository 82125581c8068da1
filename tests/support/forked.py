"""Processes of their own that begin without what this one holds, such as connections and threads.

They are forked from a server that has imported what they need; `spawn` would import it in each, for a second of CPU.
"""

import multiprocessing
from multiprocessing.context import ForkServerContext

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", "alembic.command", "foundation.store", "tests.support.installing"])
