"""Suspects: messages that may have killed whoever worked on them."""

from foundation.broker import Delivery
from foundation.handling.poison import PoisonWard


def test_of_several_suspects_none_is_always_the_first() -> None:
    """If the poison were, the others would be handed out with it each time, until the broker parks them all."""
    suspects = [Delivery("queue", b"", "", name, "", {}, redeliveries=1, tag=0, epoch=0) for name in "abcd"]
    first = set()
    for _ in range(200):
        ward = PoisonWard()
        assert ward.admit(suspects) == []
        chosen = ward.next(idle=True)
        assert chosen
        first.add(chosen.message_id)
    assert first == {*"abcd"}
