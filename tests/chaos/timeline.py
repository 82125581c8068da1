"""What happened in a run, in order: printed as it happens, and kept for the report."""

import sys
import threading
from dataclasses import asdict, dataclass, field
from time import monotonic, time
from typing import Any


@dataclass
class Entry:
    """One thing that was done. Times are seconds since the run began; `until` is None while it lasts."""

    at: float
    kind: str
    target: str
    until: float | None = None
    trouble: str = ""
    """Why it could not be done, or mended, as it should."""


@dataclass
class Timeline:
    """Safe to use from any thread."""

    loud: bool = True
    entries: list[Entry] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    """What nobody caused."""
    began_at: float = 0.0
    """As this machine's clock has it (Unix time)."""

    def __post_init__(self) -> None:
        self.starts()
        self._lock = threading.Lock()

    def starts(self) -> None:
        """Count the time from now on."""
        self._began, self.began_at = monotonic(), time()

    @property
    def now(self) -> float:
        return monotonic() - self._began

    def begins(self, kind: str, target: str, seconds: float) -> Entry:
        entry = Entry(round(self.now, 1), kind, target)
        with self._lock:
            self.entries.append(entry)
        self.say(f"{kind:<28} {target:<26} for {seconds:.1f} s")
        return entry

    def ended(self, entry: Entry) -> None:
        entry.until = round(self.now, 1)
        if entry.trouble:
            self.say(f"{entry.kind:<28} {entry.target:<26} went wrong: {entry.trouble}")

    def surprise(self, what: str) -> None:
        with self._lock:
            self.surprises.append(f"{self.now:.1f} s: {what}")
        self.say(f"SURPRISE: {what}")

    def say(self, what: str) -> None:
        if self.loud:
            sys.stderr.write(f"{self.now:7.1f} s  {what}\n")
            sys.stderr.flush()

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in self.entries]
