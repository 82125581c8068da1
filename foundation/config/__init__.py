"""What is particular to this house: its settings, its keys, its servers, and the table of its queues.

The only room of the foundation that names a service.
"""
