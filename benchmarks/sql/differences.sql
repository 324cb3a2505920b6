-- 100 differences in the warehouse's copy, made by another hand than Syncline's, chosen by a seeded hash of the key:
-- 60 rows have another value in one of three columns, 20 are gone, 20 are there that the hub does not know.
create temporary table chosen on commit drop as
select tenant_id, assignment_id, row_number() over (order by hashtextextended(assignment_id, 61), assignment_id) as n
from dw.assignment_copy
order by n
limit 80;

update dw.assignment_copy as t set
    city = case when n <= 20 then 'Utrecht' else city end,
    annual_salary = case when n between 21 and 40 then annual_salary + 1200 else annual_salary end,
    weekly_hours = case when n between 41 and 60 then weekly_hours + 0.001 else weekly_hours end
from chosen as c
where n <= 60 and (t.tenant_id, t.assignment_id) = (c.tenant_id, c.assignment_id);

insert into dw.assignment_copy
select (jsonb_populate_record(t, jsonb_build_object('assignment_id', 'n' || substr(t.assignment_id, 2)))).*
from dw.assignment_copy as t
join chosen as c on (t.tenant_id, t.assignment_id) = (c.tenant_id, c.assignment_id)
where n > 60;

delete from dw.assignment_copy as t
using chosen as c
where n > 60 and (t.tenant_id, t.assignment_id) = (c.tenant_id, c.assignment_id);
