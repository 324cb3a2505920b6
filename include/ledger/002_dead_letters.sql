-- Rows that could not go on, and alerts that must reach a person: nothing is dropped without a trace.
create table if not exists ledger.dead_letter (
    dead_letter_id bigint generated always as identity primary key,
    job_id text not null references ledger.job,
    batch_id bigint not null references ledger.batch,
    tenant_id text not null,
    source_key jsonb not null,                    -- the key's values as text, in manifest order
    target_key jsonb,                             -- null where the key itself could not be mapped
    errors jsonb not null,                        -- [{"column": "bank_iban", "code": "iban"}]
    payload bytea not null,                       -- the source row, AES-GCM; bound to job, tenant and key
    payload_key_id text not null,
    state text not null default 'open' check (state in ('open', 'resolved', 'superseded')),
    created_at timestamptz not null default now(),
    settled_by bigint references ledger.batch,    -- the batch that loaded or rejected the row again
    settled_at timestamptz
);
-- Not unique: a source without a primary key may reject two rows of one key, and each of them is kept.
create index if not exists dead_letter_open_by_key
    on ledger.dead_letter (job_id, source_key) where state = 'open';
drop index if exists ledger.dead_letter_open_key;
create index if not exists dead_letter_by_batch on ledger.dead_letter (batch_id);

create table if not exists ledger.alert (
    alert_id bigint generated always as identity primary key,
    job_id text not null,
    batch_id bigint,
    control text not null,
    severity text not null check (severity in ('page', 'ticket', 'log')),
    oncall text not null,
    summary text not null,
    raised_at timestamptz not null default now(),
    delivered_at timestamptz,                     -- null: pending; the next alert tries again
    delivery_attempts integer not null default 0
);
create index if not exists alert_pending on ledger.alert (raised_at) where delivered_at is null;
