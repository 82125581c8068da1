"""The demonstration: everything on one machine, and a day of a hosting company in it."""
