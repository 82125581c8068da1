"""From a message to its effect: the loop around handlers, the relay of the outbox, what is parked.

Here, and only here, broker and store meet.
"""
