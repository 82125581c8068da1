"""A service as a process. The only room that all others meet in."""
