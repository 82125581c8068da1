"""Let all tests of a process share what is the same for each, and takes longer to make than most tests to run."""

import os
import ssl
from functools import cache
from typing import Any

import httpcore2
import jinja2
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

_compiled: LRUCache[Any, Any] = LRUCache(3000)


def share() -> None:
    _compile_statements_once()
    _read_authorities_once()
    _compile_templates_once()


def _compile_statements_once() -> None:
    """Statements for SQLite, whichever file a test has: all such databases speak the same dialect."""
    event.listen(Engine, "engine_connect", _keep_compiled)
    SQLiteDialect_pysqlite.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
    SQLiteDialect_pysqlite.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]


def _keep_compiled(connection: Connection) -> None:
    if connection.dialect.driver == "pysqlite":
        connection.engine._compiled_cache = _compiled


def _read_authorities_once() -> None:
    """The certificates that an HTTP client trusts: it reads a hundred of them, even if it never needs one."""
    read = httpcore2.default_ssl_context
    kept = cache(lambda trust_env, *_named: read(_trust_env=trust_env))

    def context(*, _trust_env: bool = True) -> ssl.SSLContext:
        return kept(_trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))

    httpcore2.default_ssl_context = context


def _compile_templates_once() -> None:
    """Letters and pages: each service has an environment of its own, which compiles all its templates at its start."""
    compiled = jinja2.Environment.compile
    kept: dict[Any, Any] = {}

    def compile_once(environment: jinja2.Environment, *template: Any, **more: Any) -> Any:
        escaped = getattr(environment.autoescape, "__code__", environment.autoescape)
        settings = (type(environment), environment.lexer, escaped, *environment.extensions)
        key = (*settings, *template, *more.items())
        if key not in kept:
            kept[key] = compiled(environment, *template, **more)
        return kept[key]

    jinja2.Environment.compile = compile_once  # type: ignore[method-assign,assignment]
