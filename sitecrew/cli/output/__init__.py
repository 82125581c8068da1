"""What commands print: data for programs, tables and sentences for people."""
