"""What the stack runs besides the services: a broker, a database, PHP and a mail catcher, each private to it."""
