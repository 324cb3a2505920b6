-- Alerts as things that are open until they are over: told again they count, left alone they escalate.
-- Idempotent. Written by plugins/syncline/adapters/ledger/alerts.py alone.
alter table ledger.alert
    add column if not exists kind text,                     -- of what a control can find; with job and control, one thing
    add column if not exists escalate_to text not null default '',
    add column if not exists taken_by text[] not null default '{}',  -- channels; delivered_at: all that are meant
    add column if not exists seen_times integer not null default 1,
    add column if not exists last_seen_at timestamptz,      -- null: told once
    add column if not exists last_batch_id bigint,
    add column if not exists last_summary text,             -- the same thing in its newest words and counts
    add column if not exists acknowledged_at timestamptz,
    add column if not exists acknowledged_by text,
    add column if not exists acknowledged_note text,
    add column if not exists escalation_level integer not null default 0 check (escalation_level between 0 and 2),
    add column if not exists escalates bigint references ledger.alert,  -- this row is a message about that alert
    add column if not exists closed_at timestamptz;         -- the thing is over; of a message: withdrawn

-- Alerts of before this file: nobody knows which of them are over, and the next failure shall be told.
update ledger.alert set kind = '', closed_at = coalesce(closed_at, clock_timestamp()) where kind is null;
alter table ledger.alert alter column kind set not null;

create unique index if not exists alert_open on ledger.alert (job_id, control, kind)
    where closed_at is null and escalates is null;
create index if not exists alert_messages on ledger.alert (escalates) where escalates is not null;
