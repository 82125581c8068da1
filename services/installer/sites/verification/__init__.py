"""Verifying that a site answers as it should, and trial installs for the doctor."""
