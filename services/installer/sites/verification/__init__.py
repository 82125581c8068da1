"""Whether a site answers as it should: visits, and trials for the doctor."""
