"""Web servers for a hosting root on one machine: PHP's own with a router, and one for static sites alone."""
