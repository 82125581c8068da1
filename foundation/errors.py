"""The one tree of errors. Every message says what to do next."""

from schemas.values import Cause, CauseKind


class SitecrewError(Exception):
    """Anything that Sitecrew reports to a person. `exit_code` is what the command returns."""

    exit_code = 1


class ConfigurationError(SitecrewError):
    """A setting is missing, unknown or wrong."""

    exit_code = 2


class BrokerUnreachable(SitecrewError):
    """RabbitMQ does not answer, or refuses us."""

    exit_code = 3


class StoreUnreachable(SitecrewError):
    """The service's database does not answer, or refuses us."""

    exit_code = 4


class StoreConflict(StoreUnreachable):
    """Another transaction was in the way (a deadlock, a serialization failure). Nothing was changed, and the same
    transaction may well succeed the next time."""


class NotFound(SitecrewError):
    """No such order, install or message."""

    exit_code = 5


class Refused(SitecrewError):
    """The request is understood and not possible as things stand."""

    exit_code = 6


class IllegalTransition(SitecrewError):
    """A row was to go where its lifecycle does not lead from its state: a fault of ours."""

    def __init__(self, key: str, source: str, target: str) -> None:
        super().__init__(f"{key} is {source} and cannot become {target}: report this with the log around it")
        self.key, self.source, self.target = key, source, target


class Failed(SitecrewError):
    """An act in the outside world did not succeed; the cause is recorded beside the work."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(f"{cause.code}: {cause.detail}")
        self.cause = cause

    @classmethod
    def because(cls, code: str, kind: CauseKind, detail: str, remedy: str) -> "Failed":
        """The error for a cause given by its parts; `detail` is cut to 1 000 characters."""
        # A file's name need not be text; what can't be written as UTF-8 is escaped.
        detail = detail.encode("utf-8", "backslashreplace").decode()
        return cls(Cause(code=code, kind=kind, detail=detail[:1000], remedy=remedy[:500]))
