"""All exceptions that Sitecrew raises for people to read. Every message says what to do next."""

from schemas.values import Cause, CauseKind


class SitecrewError(Exception):
    """Base of all errors that are reported to a person. `exit_code` is the command's exit code."""

    exit_code = 1


class ConfigurationError(SitecrewError):
    """A setting is missing, unknown or wrong."""

    exit_code = 2


class BrokerUnreachable(SitecrewError):
    """RabbitMQ does not answer, or rejects our connection."""

    exit_code = 3


class StoreUnreachable(SitecrewError):
    """The service's database does not answer, or rejects our connection."""

    exit_code = 4


class StoreConflict(StoreUnreachable):
    """The transaction conflicted with another one (deadlock, serialization failure). Nothing was changed; a retry may
    succeed."""


class NotFound(SitecrewError):
    """There is no such order, install or message."""

    exit_code = 5


class Refused(SitecrewError):
    """The request is valid, but not possible in the current state."""

    exit_code = 6


class IllegalTransition(SitecrewError):
    """A row was to change to a state that its lifecycle does not allow: a bug."""

    def __init__(self, key: str, source: str, target: str) -> None:
        super().__init__(
            f"{key} is {source} and cannot become {target}: this is a bug; report it with the log around it"
        )
        self.key, self.source, self.target = key, source, target


class Failed(SitecrewError):
    """An effect in the outside world failed; its cause is recorded with the work."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(f"{cause.code}: {cause.detail}")
        self.cause = cause

    @classmethod
    def because(cls, code: str, kind: CauseKind, detail: str, remedy: str) -> "Failed":
        """Create the error from the parts of its cause; `detail` is truncated to 1 000 characters, `remedy` to 500."""
        # A file name need not be valid text: what UTF-8 cannot encode is escaped.
        detail = detail.encode("utf-8", "backslashreplace").decode()
        return cls(Cause(code=code, kind=kind, detail=detail[:1000], remedy=remedy[:500]))
