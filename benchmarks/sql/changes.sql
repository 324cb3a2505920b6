-- What happened in the hub since the last run, chosen by seeded hashes of the key: the same rows on every machine.
-- Of 10,000 rows 100 have other values, 5 are copied under a new key, 2 are flagged as deleted. The time is the moment
-- of the change, as a trigger of the application would set it.
create schema if not exists bench;
create table bench.gone (tenant_id text not null, assignment_id text not null, by_flag boolean not null);

update mdm.assignment set
    annual_salary = annual_salary + 1200,
    weekly_hours = 60 - weekly_hours,
    job_title = 'team lead',
    city = 'Utrecht',
    updated_at = clock_timestamp()
where (hashtextextended(assignment_id, 51) & 9223372036854775807) % 10000 < 100;

insert into mdm.assignment
select (jsonb_populate_record(s, jsonb_build_object(
    'assignment_id', 'n' || s.assignment_id, 'email', 'new.' || s.email, 'updated_at', clock_timestamp()))).*
from mdm.assignment as s
where (hashtextextended(assignment_id, 52) & 9223372036854775807) % 10000 < 5;

with flagged as (
    update mdm.assignment set is_deleted = true, updated_at = clock_timestamp()
    where (hashtextextended(assignment_id, 53) & 9223372036854775807) % 10000 < 2
    returning tenant_id, assignment_id
)
insert into bench.gone select *, true from flagged;
