"""What the catalogs of source and target say about a job: whether it fits them, and a draft of a new one."""
