"""Everything that one machine needs to run Sitecrew by itself."""
