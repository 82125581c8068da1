"""Sealing: whoever has the public key can seal, only the private key opens."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey, SealedBox
from pydantic import TypeAdapter

from foundation.config.keys import Opener, Sealer, generate_keys
from foundation.errors import ConfigurationError
from schemas.values import SealedSecret

PUBLIC, PRIVATE = generate_keys()
OTHER_PUBLIC, OTHER_PRIVATE = generate_keys()


@given(secret=st.text(max_size=500))
def test_what_is_sealed_opens_to_the_same(secret: str) -> None:
    assert Opener(PRIVATE).open(Sealer(PUBLIC).seal(secret)) == secret


@given(secret=st.text(max_size=200))
def test_a_sealed_secret_may_travel_in_an_event(secret: str) -> None:
    sealed = Sealer(PUBLIC).seal(secret)
    assert TypeAdapter(SealedSecret).validate_python(sealed) == sealed


def test_sealing_twice_gives_two_texts_so_that_equal_passwords_do_not_show() -> None:
    assert Sealer(PUBLIC).seal("same") != Sealer(PUBLIC).seal("same")


def test_the_sealed_text_does_not_contain_the_secret_and_the_public_key_does_not_open_it() -> None:
    sealed = Sealer(PUBLIC).seal("canary-password")
    assert "canary" not in sealed
    with pytest.raises(ConfigurationError, match=r"neither keys\.private nor any of the 0 keys\.previous belongs to"):
        Opener(PUBLIC).open(sealed)


def test_it_is_the_sealed_box_of_libsodium() -> None:
    box = SealedBox(PrivateKey(b64decode(PRIVATE)))
    assert box.decrypt(b64decode(Sealer(PUBLIC).seal("secret"))) == b"secret"
    assert Opener(PRIVATE).open(b64encode(box.encrypt(b"secret")).decode()) == "secret"


@pytest.mark.parametrize(
    "sealed",
    ["", "not base64!", "AAAA", "\xff", Sealer(OTHER_PUBLIC).seal("x")],
    ids=["nothing", "no base64", "too short", "no ASCII", "to another key"],
)
def test_what_does_not_open_says_what_is_wrong_and_not_what_was_tried(sealed: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Opener(PRIVATE).open(sealed)
    assert "keys.private" in str(error.value)
    assert PRIVATE not in str(error.value)
    assert sealed not in str(error.value) or not sealed


@given(position=st.integers(0, 90), bit=st.integers(0, 7))
def test_one_changed_bit_is_noticed(position: int, bit: int) -> None:
    sealed = bytearray(b64decode(Sealer(PUBLIC).seal("x" * 50)))
    sealed[position % len(sealed)] ^= 1 << bit
    with pytest.raises(ConfigurationError):
        Opener(PRIVATE).open(b64encode(bytes(sealed)).decode())


@pytest.mark.parametrize(
    "key",
    ["", "short", "A" * 43, "ö" * 44, "A" * 88, PUBLIC[:-1], f"{PUBLIC}\n\n{PUBLIC}"],
    ids=["nothing", "short", "no padding", "no ASCII", "too long", "cut", "twice"],
)
@pytest.mark.parametrize(("maker", "setting"), [(Sealer, "keys.public"), (Opener, "keys.private")])
def test_what_is_no_key_is_refused_at_the_start_with_the_way_to_get_one(
    maker: type[Sealer] | type[Opener], setting: str, key: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        maker(key)
    assert str(error.value).startswith(f"{setting} is not set to a valid key")
    assert "sitecrew keys generate" in str(error.value)
    assert key not in str(error.value) or not key


def test_each_generated_pair_is_another() -> None:
    assert len({PUBLIC, PRIVATE, OTHER_PUBLIC, OTHER_PRIVATE}) == 4


def test_a_private_key_that_is_not_the_public_ones_partner_is_told_at_once() -> None:
    public, private = generate_keys()
    Opener(private, public)
    with pytest.raises(ConfigurationError, match=r"neither keys\.private nor any"):
        Opener(generate_keys()[1], public)


# changing the pair


def test_what_is_sealed_to_an_earlier_key_opens_as_long_as_that_is_kept() -> None:
    old, new = Sealer(OTHER_PUBLIC).seal("old"), Sealer(PUBLIC).seal("new")
    opener = Opener(PRIVATE, PUBLIC, [OTHER_PRIVATE])
    assert (opener.open(old), opener.open(new)) == ("old", "new")
    with pytest.raises(ConfigurationError, match=r"any of the 0 keys\.previous"):
        Opener(PRIVATE, PUBLIC).open(old)


def test_the_mailer_starts_while_others_still_seal_to_the_earlier_key() -> None:
    assert Opener(PRIVATE, OTHER_PUBLIC, [OTHER_PRIVATE]).open(Sealer(OTHER_PUBLIC).seal("x")) == "x"
    with pytest.raises(ConfigurationError):
        Opener(PRIVATE, OTHER_PUBLIC)


def test_an_earlier_key_that_is_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"keys\.previous"):
        Opener(PRIVATE, PUBLIC, ["nonsense"])
