"""From a message to its effect: the worker around handlers, the outbox relay, and parked messages.

The only package that uses both the broker and the store.
"""
