"""What commands stand on: settings, broker and stores; what they send, and what they hear in answer."""
