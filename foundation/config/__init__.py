"""What is specific to Sitecrew's own services: settings, keys, hosting servers, and the table of queues.

This is the only package in `foundation` that may name a service.
"""
