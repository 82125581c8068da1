"""Looking into the services' stores and the parking queue: what is chosen, and how it is shown."""
