"""What mail servers' refusals mean. The answers are such as real servers give."""

import pytest

from schemas.values import CauseKind
from services.mailer.causes import MAIL_CAUSES
from services.mailer.smtp.answers import Step, one_line, verdict

TO: Step = "name the recipient"
FROM: Step = "name the sender"
DATA: Step = "send the letter"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (550, "5.1.1 <alex@customer.example>: Recipient address rejected: User unknown in local recipient table"),
        (550, "5.1.1 The email account that you tried to reach does not exist. Please try double-checking"),
        (550, "No such user here"),
        (550, "Requested action not taken: mailbox unavailable"),
        (550, "5.4.1 Recipient address rejected: Access denied"),
        (554, "delivery error: dd This user doesn't have a mailbox here (alex@customer.example)"),
        (553, "5.1.3 bad destination mailbox address syntax"),
        (550, "5.2.1 The email account that you tried to reach is disabled"),
        (550, "5.7.1 <alex@customer.example>: Recipient address rejected: unknown user"),
        (550, "<limit@quota.example>: user unknown"),
        (550, "<helo-spf-sender@customer.example> unknown"),
        (551, "User not local"),
        (556, "5.1.10 Domain does not accept mail (nullMX)"),
    ],
)
def test_what_is_about_the_recipient_is_put_down_to_the_recipient(code: int, said: str) -> None:
    assert verdict(TO, code, said).code == "recipient_refused"


@pytest.mark.parametrize(
    "said",
    [
        "5.7.1 <[172.17.0.2]>: Helo command rejected: need fully-qualified hostname",
        "5.5.2 <mailer>: Helo command rejected: Invalid name",
        "Access denied - Invalid HELO name (See RFC2821 4.1.1.1)",
        "EHLO argument does not match calling host",
    ],
)
@pytest.mark.parametrize("step", ["say hello", "name the sender", "name the recipient", "send the letter"])
@pytest.mark.parametrize("code", [504, 550, 554])
def test_a_refused_greeting_names_its_setting_wherever_it_is_said(step: Step, code: int, said: str) -> None:
    found = verdict(step, code, said)
    assert (found.code, "mailer.smtp.helo" in found.about) == ("smtp_refused", True)
    assert "mailer.smtp.helo" in MAIL_CAUSES["smtp_refused"].remedy


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (550, "5.4.6 hourly sending limit exceeded"),
        (550, "5.4.5 Daily user sending limit exceeded"),
        (550, "5.7.1 quota exceeded"),
        (550, "User sitecrew has exceeded its 24-hour sending limit. Messages to 250 recipients out of 250 allowed"),
        (554, "5.7.0 Your message rate is too high"),
        (452, "4.5.3 Too many recipients"),
        (421, "4.7.28 Our system has detected an unusual rate of unsolicited mail"),
        (450, "4.7.1 Error: too much mail from 192.0.2.10"),
        (550, "message submission rate for this client has exceeded the configured limit"),
        (450, "4.2.1 The user you are trying to contact is receiving mail too quickly"),
        (554, "Too many messages in this session"),
        (550, "Sending quota exceeded"),
    ],
)
@pytest.mark.parametrize("step", [FROM, TO, DATA])
def test_a_sending_limit_is_waited_for_and_nobodys_fault(step: Step, code: int, said: str) -> None:
    found = verdict(step, code, said)
    assert found.code == "smtp_limit"
    assert MAIL_CAUSES[found.code].kind == CauseKind.TRANSIENT


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (552, "5.2.2 Over quota"),
        (452, "4.2.2 The email account that you tried to reach is over quota"),
        (550, "5.2.2 mailbox full"),
        (552, "Requested mail action aborted: exceeded storage allocation"),
        (552, "mailbox full"),
        (452, "recipient's mailbox is full"),
        (550, "Recipient mailbox quota exceeded"),
    ],
)
@pytest.mark.parametrize("step", [TO, DATA])
def test_a_full_mailbox_is_waited_for_and_told(step: Step, code: int, said: str) -> None:
    found = verdict(step, code, said)
    assert found.code == "recipient_full"
    assert MAIL_CAUSES[found.code].kind == CauseKind.TRANSIENT


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (450, "4.7.1 Greylisted, please try again in 300 seconds"),
        (451, "4.3.0 Temporary lookup failure"),
        (450, "4.1.1 mailbox unavailable"),
        (550, "4.7.1 come back later"),
        (550, "5.7.1 Greylisting in action"),
        (554, "5.7.1 Service unavailable, try again later"),
        (452, "4.3.1 Insufficient system storage"),
        (452, "insufficient system storage"),
        (421, "4.3.2 shutting down"),
        (450, "4.7.1 <mailer>: Helo command rejected: Host not found"),
        (552, "5.3.1 Mail system full"),
        (451, "4.7.1 Sender address rejected: lookup failed"),
    ],
)
@pytest.mark.parametrize("step", [FROM, TO, DATA])
def test_what_is_only_for_now_is_asked_again(step: Step, code: int, said: str) -> None:
    assert verdict(step, code, said).code == "smtp_temporary"


@pytest.mark.parametrize("step", ["connect", "say hello", "secure the connection", "log in", FROM, TO, DATA])
def test_421_may_come_at_any_time(step: Step) -> None:
    assert verdict(step, 421, "4.3.2 service shutting down").code == "smtp_temporary"


@pytest.mark.parametrize(
    ("code", "said", "cause"),
    [
        (530, "5.7.0 Must issue a STARTTLS command first", "smtp_tls"),
        (538, "5.7.11 Encryption required for requested authentication mechanism", "smtp_tls"),
        (530, "5.7.0 Authentication required", "smtp_auth"),
        (530, "5.7.57 Client not authenticated to send mail", "smtp_auth"),
        (550, "5.7.1 Client was not authenticated", "smtp_auth"),
        (503, "5.5.1 AUTH first", "smtp_auth"),
        (554, "5.7.1 <alex@customer.example>: Relay access denied", "smtp_auth"),
        (550, "relay not permitted", "smtp_auth"),
        (550, "SMTP AUTH is required for message submission on port 587", "smtp_auth"),
        (554, "5.7.1 TLS is required", "smtp_tls"),
    ],
)
@pytest.mark.parametrize("step", [FROM, TO, DATA])
def test_a_relay_that_wants_a_login_or_encryption_is_a_wrong_setting(
    step: Step, code: int, said: str, cause: str
) -> None:
    found = verdict(step, code, said)
    assert found.code == cause
    assert MAIL_CAUSES[cause].kind == CauseKind.CONFIGURATION


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (553, "5.7.1 <welcome@hosting.example>: Sender address rejected: not owned by user sitecrew"),
        (550, "5.1.8 <welcome@hosting.example>: Sender address rejected: Domain not found"),
        (550, "5.7.26 Unauthenticated email from hosting.example is not accepted due to domain's DMARC policy"),
        (550, "5.7.23 SPF validation failed"),
        (554, "5.2.252 SendAsDenied; not allowed to send as welcome@hosting.example"),
    ],
)
@pytest.mark.parametrize("step", [FROM, TO, DATA])
def test_a_refused_sender_names_its_setting(step: Step, code: int, said: str) -> None:
    found = verdict(step, code, said)
    assert (found.code, "mailer.sender" in found.about) == ("smtp_refused", True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (554, "5.7.1 Service unavailable; Client host [192.0.2.10] blocked using a list"),
        (550, "5.7.25 The IP address sending this message does not have a PTR record"),
        (550, "5.7.1 This message was rejected by policy"),
        (554, "Your IP is on our blocklist"),
        (550, "5.7.606 Access denied, banned sending IP"),
        (502, "5.5.1 command not implemented"),
        (555, "5.5.4 MAIL FROM/RCPT TO parameters not recognized"),
    ],
)
def test_what_is_held_against_the_machine_is_not_the_customers_fault(code: int, said: str) -> None:
    assert verdict(TO, code, said).code == "smtp_refused"


@pytest.mark.parametrize("step", [FROM, DATA])
def test_a_letter_too_large_is_no_full_mailbox(step: Step) -> None:
    assert verdict(step, 552, "5.3.4 Message size exceeds fixed limit").about == "the letter is too large for it"


@pytest.mark.parametrize("said", ["5.7.8 authentication failed", "5.7.0 bad login, try again", "too many limits"])
def test_a_refused_login_is_a_wrong_setting_whatever_it_says(said: str) -> None:
    assert verdict("log in", 535, said).code == "smtp_auth"


def test_no_remedy_promises_another_attempt() -> None:
    for code, meaning in MAIL_CAUSES.items():
        assert "again by itself" not in meaning.remedy, code
        assert "we send it again" not in meaning.remedy, code


@pytest.mark.parametrize("place", range(280, 305))
def test_no_beginning_of_a_secret_is_left_where_a_long_answer_is_cut(place: int) -> None:
    secret = "Abcdefgh-ijklmn_opqrstuv"
    for told in (one_line(f"{'x' * place} {secret} {'y' * 90}", [secret]), one_line(f"{'x' * place} {secret} no")):
        assert not any(told.endswith(secret[:letters]) for letters in range(1, len(secret)))
    assert len(one_line("word " * 100)) <= 300
