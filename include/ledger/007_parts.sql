-- Parts of a batch that several tasks read at one time, under one exported snapshot. Gone when the batch is staged.
-- Idempotent. Written by plugins/syncline/adapters/ledger/parts.py alone.
create table if not exists ledger.part (
    batch_id bigint not null references ledger.batch,
    number integer not null,                      -- from 0
    parts integer not null,                       -- of how many
    epoch bigint not null,                        -- of the attempt that holds the snapshot
    snapshot text not null,                       -- as pg_export_snapshot() named it
    first_block bigint,                           -- of a table: its blocks from here on
    end_block bigint,                             -- up to here, not included; null: to the end
    is_by_block boolean not null,                 -- else by the hash of the key
    state text not null default 'free' check (state in ('free', 'taken', 'done')),
    taken_pid integer,                            -- the ledger session of whoever reads it: while it lives, it is taken
    taken_start timestamptz,
    primary key (batch_id, number)
);
