"""Orders as they are placed, and how far each is: one progress, for those who wait and those who watch."""
