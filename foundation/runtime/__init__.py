"""What runs a service: settings, logs, the loop around its handlers, the relay of its outbox.

Here, and only here, broker and store meet.
"""
