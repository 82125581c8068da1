"""Where the command gets what it shows, and takes what it asks for: to databases and broker, or to the HTTP API."""
