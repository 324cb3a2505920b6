-- Circuit breakers: which systems are down, and until when no work is started on them. One row per connection id that
-- ever failed as a whole; core/breakers.py says how it changes.
create table if not exists ledger.breaker (
    connection_id text primary key,
    failures integer not null default 0,          -- attempts in a row that failed; 0 after one that did not
    last_failed_at timestamptz,
    last_error text,                              -- class and SQLSTATE, never a message
    openings integer not null default 0,          -- times it opened since it was last closed: the pause grows with it
    opened_at timestamptz,                        -- of the first of these; null: it is closed
    open_until timestamptz,                       -- from then on one attempt is let through
    probe_until timestamptz                       -- while one is on its way, others wait for it until then
);
