"""One outside thing each: a PostgreSQL source or target, the ledger, Great Expectations, the alert channel."""
