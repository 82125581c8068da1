"""Three chained tasks in other people's libraries, run with bench/requirements.txt in their own environment."""
