"""What a mail server's refusal means: from the step it comes at, its codes (RFC 5321, RFC 3463) and its words.

Servers say things late: most say at the recipient what they hold against the machine, the login, the sender or
the amount of mail. Only what is about the recipient may be put down to the customer.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import shorten
from typing import Literal

from foundation.passwords import without

Step = Literal[
    "connect",
    "say hello",
    "secure the connection",
    "log in",
    "start afresh",
    "name the sender",
    "name the recipient",
    "send the letter",
    "check the connection",
]

_LETTERS = 300

_ENHANCED = re.compile(r"^([245])\.(\d{1,3})\.(\d{1,3})\b")
_NOT_WORDS = re.compile(r"\S+@\S*|\bhttps?://\S+|<[^>]*>")
"""Addresses and links: `<limit@shop.example>: user unknown` speaks of no limit."""

_RECIPIENT = frozenset({"1.1", "1.2", "1.3", "1.6", "1.9", "1.10", "2.0", "2.1", "4.1"})
_SENDER = frozenset({"1.7", "1.8", "7.20", "7.21", "7.22", "7.23", "7.24", "7.26", "7.27"})
_LIMIT = frozenset({"4.5", "4.6", "5.3", "7.28"})
_BUSY = frozenset({"3.1", "3.2"})
_TLS = frozenset({"7.10", "7.11"})
_LOGIN = frozenset({"7.8", "7.9", "7.14"})
_SIZE = frozenset({"2.3", "3.4"})


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_LATER = _words(r"gr[ea]y-?list", r"temporar", r"(?<!not )(?<!n't )\btry (it )?(again|later)", r"come back", r"defer")
_HELO = _words(r"\b(helo|ehlo)\b")
_NEEDS_TLS = _words(
    r"starttls",
    r"\b(encryption|encrypted|tls|ssl)\b.*\b(required|needed|first)",
    r"\b(require|need|must)\w*\b.*\b(tls|ssl|encrypt\w*)\b",
)
_NEEDS_LOGIN = _words(
    r"\bauth\w* (is )?(required|needed|first)",
    r"\bnot (logged in|authenticated)",
    r"\bmust (first )?(log ?in|authenticate)",
    r"\b(requires?|needs?) (smtp )?auth",
    r"\brelay(ing|ed)?\b(?!\.)",
)
_ROOM = _words(
    r"(mailbox|inbox|recipient)\b.*\b(full|quota|storage)", r"(?<!system )\bstorage", r"mailfull", r"out of space"
)
_QUOTA = _words(r"\bquota\b")
_OURS = _words(
    r"\b(sending|sender|sent|outgoing|outbound|hourly|daily)\b", r"\bper (hour|day|minute)", r"\d.?(hour|minute)"
)
_TOO_LARGE = _words(
    r"\bsize\b.*\b(exceed|limit|maximum)", r"\b(exceed\w*|maximum|limit)\b.*\bsize", r"\btoo (big|large)"
)
_TOO_MUCH = _words(
    r"\blimit", r"\bquota", r"\brate\b", r"\btoo (many|much|fast|quickly|often)", r"throttl", r"\bexceed"
)
_ABOUT_SENDER = _words(
    r"\bsender", r"\bfrom\b.*\b(address|domain|header|rejected|denied|allowed)", r"\b(spf|dmarc|dkim)\b", r"\bsend as\b"
)
_UNKNOWN = _words(
    r"\b(no such|unknown|invalid) (local )?(user|recipient|mailbox|person|address)",
    r"\b(user|recipient|mailbox|account)\b.*\b(unknown|not found|not exist|n't exist|disabled|inactive)",
)
_POLICY = _words(
    r"polic(y|ies)",
    r"spam",
    r"\bbl[ao]ck",
    r"\b(rbl|dnsbl|ptr|rdns|ip)\b",
    r"reputation",
    r"virus",
    r"content",
    r"client host",
    r"reverse",
    r"access denied",
    r"prohibited",
    r"security",
)


@dataclass(frozen=True)
class Verdict:
    """A code of the table of causes, and what the refusal is about, in words for people."""

    code: str
    about: str = ""


_OUR_NAME = Verdict("smtp_refused", "it refuses the name we greet with (mailer.smtp.helo)")
_OUR_SENDER = Verdict("smtp_refused", "it refuses the sender (mailer.sender)")
_OUR_LOGIN = Verdict("smtp_auth", "it refuses to relay for us")
_OUR_SIZE = Verdict("smtp_refused", "the letter is too large for it")
_REFUSED = Verdict("smtp_refused")
_TO_WHOM = ("name the recipient", "send the letter")


@dataclass(frozen=True)
class _Answer:
    step: Step
    code: int
    number: str
    """The enhanced status code without its class: `7.1`; empty if there is none."""
    words: str
    later: bool
    """Whether it may be asked again."""


def verdict(step: Step, code: int, said: str) -> Verdict:
    """What an answer other than yes stands for."""
    if code < 400:  # not SMTP at all, or an answer to something we did not ask
        return Verdict("smtp_unreachable")
    answer = _read(step, code, said)
    if step in ("secure the connection", "log in"):
        return Verdict("smtp_temporary") if answer.later else _at_the_door(answer)
    found = _whoever_it_is_for(answer)
    if answer.later and (found is None or found.code not in ("smtp_limit", "recipient_full")):
        return Verdict("smtp_temporary", found.about if found else "")
    return found or _by_step(answer)


def _read(step: Step, code: int, said: str) -> _Answer:
    enhanced = _ENHANCED.match(said)
    number = f"{enhanced[2]}.{enhanced[3]}" if enhanced else ""
    words = _NOT_WORDS.sub(" ", said[enhanced.end() :] if enhanced else said)
    later = code < 500 or (enhanced is not None and enhanced[1] == "4") or number in _BUSY
    return _Answer(step, code, number, words, later or (step != "log in" and bool(_LATER.search(words))))


def _at_the_door(answer: _Answer) -> Verdict:
    tls = answer.step == "secure the connection" or answer.number in _TLS or _NEEDS_TLS.search(answer.words)
    return Verdict("smtp_tls" if tls else "smtp_auth")


def _whoever_it_is_for(answer: _Answer) -> Verdict | None:
    """Names, encryption, logins and amounts, at whatever step they are spoken of."""
    if answer.step == "name the recipient" and answer.number in _RECIPIENT - {"2.1"}:
        return None
    if _HELO.search(answer.words):
        return _OUR_NAME
    if not answer.later and (answer.number in _TLS or _NEEDS_TLS.search(answer.words)):
        return Verdict("smtp_tls")
    if answer.code in (530, 538) or answer.number in _LOGIN:
        return Verdict("smtp_auth")
    if not answer.later and _NEEDS_LOGIN.search(answer.words):
        return _OUR_LOGIN
    return _amount(answer)


def _amount(answer: _Answer) -> Verdict | None:
    """Too much: of mail in the customer's mailbox, of this letter, or of ours altogether."""
    words, number = answer.words, answer.number
    if number in _SIZE or _TOO_LARGE.search(words) or (answer.code == 552 and answer.step == "name the sender"):
        return _OUR_SIZE
    if answer.step in _TO_WHOM and _is_full(answer):
        return Verdict("recipient_full")
    return Verdict("smtp_limit") if number in _LIMIT or _TOO_MUCH.search(words) else None


def _is_full(answer: _Answer) -> bool:
    """Whether there is no room in the recipient's mailbox, rather than in what we may send."""
    if answer.number:
        return answer.number == "2.2" or (answer.number[0] in "12" and bool(_ROOM.search(answer.words)))
    if _OURS.search(answer.words):
        return False
    quota = answer.code in (452, 552) and _QUOTA.search(answer.words)
    return answer.code == 552 or bool(quota or _ROOM.search(answer.words))


def _by_step(answer: _Answer) -> Verdict:
    if answer.step == "say hello":
        return _OUR_NAME
    if answer.step == "name the sender":
        return _OUR_SENDER
    about_sender = answer.number in _SENDER or _ABOUT_SENDER.search(answer.words)
    if answer.step in _TO_WHOM and about_sender:
        return _OUR_SENDER
    return Verdict("recipient_refused") if answer.step == "name the recipient" and _is_theirs(answer) else _REFUSED


def _is_theirs(answer: _Answer) -> bool:
    if answer.number in _RECIPIENT or _UNKNOWN.search(answer.words):
        return True
    ours = answer.number[:2] in ("3.", "5.", "6.", "7.") or answer.code in (500, 502, 503, 504)
    return not ours and not _POLICY.search(answer.words)


def one_line(said: bytes | str, secrets: Iterable[str] = ()) -> str:
    """About 300 letters that can be printed, without the secrets. It is cut between words: the beginning of a secret
    would not be known for one."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    told = without(secrets, line)
    return shorten(told, _LETTERS, placeholder=" ...", break_on_hyphens=False, break_long_words=False)
