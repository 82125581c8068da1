"""Trials beyond throughput: waiting times, replicas, memory, full queues. Each returns its figures by name."""
