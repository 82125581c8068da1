"""What differs from one site to the next in a database: found by what it was when the image was made, filled in anew.

A blank stands between two letters that no text has: `url`, `title`, ... for what an order says, `+N` for the Unix time
N seconds after the install, `@N` for that time as MariaDB writes it, `now` for the time with fractions.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_OPEN, _CLOSE = "\ue000", "\ue001"
_BLANK = re.compile(f"{_OPEN}([^{_CLOSE}]+){_CLOSE}")
_SERIALIZED = re.compile(r"[aOs]:\d+:")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_SECONDS = re.compile(r"1\d{9}|[2-9]\d{9}")
_SERIALIZED_SECONDS = re.compile(r"(?<=i:)(?:1|[2-9])\d{9}(?=;)")
_FRACTION = re.compile(r"\d{10}\.\d+")
_WRITTEN = "%Y-%m-%d %H:%M:%S"
_MINUTE, _QUARTER = 60, 900
_NEAR, _FAR = timedelta(hours=15), timedelta(days=800)
"""How far local times, and moments that are planned ahead, may be from the install's time."""


class Unfit(Exception):
    """Something that no image can be made of, or filled with; the text says what."""


@dataclass(frozen=True)
class Blanks:
    """What one build was told, by name, and when it began (UTC)."""

    values: Mapping[str, str]
    began: datetime
    fixed: frozenset[str] = frozenset()
    """Texts without blanks, even if they look like times."""

    def made(self, text: str) -> str:
        """The text with blanks. Raises `Unfit` if they could not be filled by writing other text in their place."""
        if _OPEN in text:
            raise Unfit("a letter that stands for a blank")
        if text in self.fixed:
            return text
        if _TIME.fullmatch(text):
            return self._time(text)
        if _FRACTION.fullmatch(text) and self._is_near(int(text.partition(".")[0])):
            return _blank("now")
        if _SECONDS.fullmatch(text):
            return self._seconds(text)
        for name, value in self.values.items():
            text = text.replace(value, _blank(name))
        if _SERIALIZED.match(text):
            if _OPEN in text:
                raise Unfit("an order's value within serialized data, which states its length")
            text = _SERIALIZED_SECONDS.sub(lambda found: self._seconds(found[0]), text)
        return text

    def _time(self, text: str) -> str:
        try:
            passed = datetime.strptime(text, _WRITTEN).replace(tzinfo=UTC) - self.began
        except ValueError:  # MariaDB's 0000-00-00
            return text
        return _blank(f"@{_rounded(passed.total_seconds(), _QUARTER)}") if abs(passed) < _NEAR else text

    def _seconds(self, text: str) -> str:
        passed = int(text) - self.began.timestamp()
        return _blank(f"+{_rounded(passed, _MINUTE)}") if self._is_near(int(text)) else text

    def _is_near(self, seconds: int) -> bool:
        return abs(seconds - self.began.timestamp()) < _FAR.total_seconds()


def filled(text: str, values: Mapping[str, str], now: datetime, quote: Callable[[str], str]) -> str:
    """The text with its blanks filled, each value written by `quote`."""

    def value(blank: re.Match[str]) -> str:
        name = blank[1]
        match name[0]:
            case "+":
                return str(int(now.timestamp()) + int(name[1:]))
            case "@":
                return (now + timedelta(seconds=int(name[1:]))).astimezone(UTC).strftime(_WRITTEN)
        return f"{now.timestamp():.6f}" if name == "now" else quote(values[name])

    return _BLANK.sub(value, text)


def _blank(name: str) -> str:
    return f"{_OPEN}{name}{_CLOSE}"


def _rounded(seconds: float, step: int) -> int:
    return round(seconds / step) * step
