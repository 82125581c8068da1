"""What hosting servers allow: how many installs run on each at a time."""
