"""The welcome letter: what stands in it, and how it is rendered."""
