"""What a rate does not tell: waiting times, replicas, memory, full queues. Each returns its figures by name."""
