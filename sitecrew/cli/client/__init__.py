"""What commands are built on: settings, broker and databases; what they send, and the answers they wait for."""
