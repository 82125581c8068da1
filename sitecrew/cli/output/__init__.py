"""How commands speak: data for programs, tables and words for people."""
