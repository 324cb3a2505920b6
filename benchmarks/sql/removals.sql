-- 2 of 10,000 rows vanish without a trace: no flag, no time. They are kept aside, for the next round.
create table bench.removed as
with removed as (
    delete from mdm.assignment
    where (hashtextextended(assignment_id, 54) & 9223372036854775807) % 10000 < 2
    returning *
)
select * from removed;
insert into bench.gone select tenant_id, assignment_id, false from bench.removed;
