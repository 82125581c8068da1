"""The audit: whether all that the services' databases, the broker and the hosting servers hold fits together.

It changes nothing. What it reports neither may ever be so, nor mends itself.
"""

from sitecrew.audit.auditing import GRACE, Audit, audit
from sitecrew.audit.cases import Stores
from sitecrew.audit.violations import CODES, Violation

__all__ = ["CODES", "GRACE", "Audit", "Stores", "Violation", "audit"]
