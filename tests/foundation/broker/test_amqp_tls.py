"""Files for TLS that are of no use are told by the setting that names them, before anything is contacted."""

import subprocess
from pathlib import Path

import pytest

from foundation.broker.tls import Tls, context_of
from foundation.errors import ConfigurationError
from tests.support.authority import Authority, Issued


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Issued:
    return authority.issue("sitecrew")


def test_certificate_and_key_may_be_two_files_or_one(authority: Authority, ours: Issued, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(ours.certificate.read_text() + ours.key.read_text())
    assert context_of(Tls(authority.ca_file, ours.certificate, ours.key)).check_hostname
    assert context_of(Tls(authority.ca_file, both)).check_hostname


def test_names_and_certificates_are_always_verified() -> None:
    context = context_of(Tls())
    assert (context.check_hostname, context.verify_mode.name) == (True, "CERT_REQUIRED")


def test_which_of_the_three_files_is_wrong_is_said(authority: Authority, ours: Issued, tmp_path: Path) -> None:
    nothing, rubbish, locked = tmp_path / "nothing.pem", tmp_path / "rubbish.pem", tmp_path / "locked.key"
    rubbish.write_text("Dear customer")
    subprocess.run(
        ("openssl", "rsa", "-aes256", "-passout", "pass:x", "-in", str(ours.key), "-out", str(locked)),
        check=True,
        capture_output=True,
    )
    for tls, said in (
        (Tls(nothing), r"amqp_tls\.ca_file: cannot read .*nothing\.pem: No such file"),
        (Tls(rubbish), r"amqp_tls\.ca_file: .*rubbish\.pem holds no CA certificate"),
        (Tls(None, nothing, ours.key), r"amqp_tls\.certificate: cannot read .*nothing\.pem"),
        (Tls(None, rubbish, ours.key), r"amqp_tls\.certificate: .*rubbish\.pem holds no certificate"),
        (Tls(None, ours.certificate, nothing), r"amqp_tls\.key: cannot read .*nothing\.pem"),
        (Tls(None, ours.certificate, rubbish), r"amqp_tls\.key: .*rubbish\.pem holds no private key"),
        (Tls(None, ours.certificate), r"amqp_tls\.key: .*sitecrew\.pem holds no private key"),
        (Tls(None, ours.certificate, authority.own.key), r"amqp_tls\.key: .*ca\.key does not belong to"),
        (Tls(None, ours.certificate, locked), r"amqp_tls\.key: .*locked\.key is protected by a passphrase"),
        (Tls(None, None, ours.key), r"amqp_tls\.key is set, but amqp_tls\.certificate is not"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            context_of(tls)
