"""Attacks on the tenant wall, generated from a seed: what they do, and the wall each of them must be stopped by.

An attack is a few statements with `own` in scope that go for rows of `other`. Each names the `hole` under which it
would succeed; a test opens the hole and sees it succeed, so that none is stopped by a mistake of its own.

`{s}` is the schema: `many` holds all tenants, `alone` the rows of `own` only. What an attacker is shown must be the same
in both (rows, counts, notices and every word of an error), or it told something about somebody else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

TENANTS = [f"t{n:03}" for n in range(100)]
PERSONS = ("p1", "p2", "p3")
TABLES = ("person", "badge", "slip")
JOB, SCRATCH = "many__attacked", "staged.many__attacked__1"
POLICY = "tenant_id in (select syncline.scoped_tenants())"

WORLD = """
drop schema if exists {s} cascade;
create schema {s};
create table {s}.person (tenant_id text, person_no text, name text not null, email text, pay integer,
    primary key (tenant_id, person_no), unique (tenant_id, email));
create index on {s}.person (lower(name));
create table {s}.badge (tenant_id text, person_no text, name text, email text,
    primary key (tenant_id, person_no),
    foreign key (tenant_id, person_no) references {s}.person on update cascade on delete cascade);
create table {s}.slip (tenant_id text, person_no text, name text, pay integer,
    primary key (tenant_id, person_no)) partition by hash (tenant_id);
create table {s}.slip_0 partition of {s}.slip for values with (modulus 2, remainder 0);
create table {s}.slip_1 partition of {s}.slip for values with (modulus 2, remainder 1);
create view {s}.people with (security_invoker = true) as select * from {s}.person;
create view {s}.people_of_owner as select * from {s}.person;
create function {s}.headcount() returns bigint language sql security definer as 'select count(*) from {s}.person';
create function {s}.touched() returns trigger language plpgsql as $$ begin
    raise notice 'touched % %', tg_op, case when tg_level = 'ROW' then
        array_remove(array[to_jsonb(old) ->> 'tenant_id', to_jsonb(new) ->> 'tenant_id'], null)::text else 'everybody' end;
    return null;
end $$;
"""
WALLED = ("person", "badge", "slip", "slip_0", "slip_1")
WALL = """
alter table {s}.{t} enable row level security, force row level security;
create policy tenant on {s}.{t} for all to syncline_tenant using ({p}) with check ({p});
grant select, insert, update, delete on {s}.{t} to syncline_tenant;
alter table {s}.{t} owner to syncline_owner;
"""
SEEN = "create trigger touched after insert or update or delete on {s}.{t} for each row execute function {s}.touched();"
GRANTS = """
create trigger emptied after truncate on {s}.person execute function {s}.touched();
alter view {s}.people owner to syncline_owner; alter view {s}.people_of_owner owner to syncline_owner;
grant select, insert, update, delete on {s}.people, {s}.people_of_owner to syncline_tenant;
alter function {s}.headcount() owner to syncline_owner;
grant usage on schema {s} to syncline_tenant, syncline_loader, syncline_owner;
"""
ROWS = """
insert into {s}.person select t, p, t || '-canary-' || p, t || '-canary-' || p || '@x', n * 10 + i
from unnest({tenants}::text[]) with ordinality as a (t, n), unnest(array['p1', 'p2', 'p3']) with ordinality as b (p, i);
insert into {s}.badge select tenant_id, person_no, name from {s}.person;
insert into {s}.slip select tenant_id, person_no, name, pay from {s}.person;
analyze {s}.person;
"""

# What must be open for an attack to succeed. Run in the schema `many` and `alone`, in one transaction.
OPEN_POLICIES = "".join(
    f"create policy open on {{s}}.{t} to public using (true) with check (true);" for t in WALLED
)  # fmt: skip
HOLES = {
    "policies": OPEN_POLICIES,
    "no row security": "".join(f"alter table {{s}}.{t} disable row level security;" for t in WALLED),
    "rights of the login": OPEN_POLICIES + "grant select, update on {s}.person to syncline_loader;",
    "role of the owner": "grant syncline_owner to syncline_loader; grant syncline_owner to syncline_tenant;"
    " alter table {s}.person no force row level security;",
    "tenant granted": "insert into syncline.job_tenant select 'only__' || t, '*' from unnest({tenants}::text[]) as t"
    " on conflict do nothing;",
    "scope writable": "grant insert on syncline.scope to syncline_tenant, syncline_loader;",
    "scope of every transaction": "create or replace function syncline.scoped_tenants() returns setof text language sql"
    " security definer as 'select tenant_id from syncline.scope';",
    "enter for the role": "grant execute on function syncline.enter(text, bigint, text[]) to syncline_tenant;",
    "view of a superuser": "alter view {s}.people_of_owner owner to current_user;"
    " alter view {s}.people owner to current_user; alter view {s}.people set (security_invoker = false);",
    "function of a superuser": "alter function {s}.headcount() owner to current_user;",
    "key without tenant": "create unique index on {s}.person (email);",
    "reference without tenant": "create unique index on {s}.person (email);"
    " alter table {s}.badge add foreign key (email) references {s}.person (email);",
    "part without wall": "alter table {s}.slip_0 disable row level security;"
    " alter table {s}.slip_1 disable row level security;",
    "right to truncate": "grant truncate on {s}.person, {s}.badge to syncline_tenant;",
    "right to trigger": "grant trigger on {s}.person to syncline_tenant;",
    "right to refer": "grant references on {s}.person to syncline_loader;",
    "policy by setting": "create policy open on {s}.person to syncline_tenant"
    " using (tenant_id = current_setting('app.tenant', true));",
    "session handed on as it is": "",
}


@dataclass(frozen=True)
class Attack:
    """Statements in one transaction, and what went before on the same session.

    Attributes:
        scope: Tenants that the transaction enters with; None enters nothing. job: On whose grants.
        first: Of the login, before it becomes the tenant role.
        left: What an earlier batch of the other tenant does on the session, committed; is_fresh: whether the session is
            emptied before the attack, as `connections.connect` does.
    """

    family: str
    name: str
    hole: str
    own: str
    other: str
    steps: tuple[str, ...]
    first: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    scope: tuple[str, ...] | None = ()
    job: str = JOB
    is_fresh: bool = True


Made = dict[str, object]
Template = Callable[[random.Random, str, str], Made]
TEMPLATES: list[tuple[str, str, str, Template]] = []


def attack(family: str, hole: str) -> Callable[[Template], Template]:
    def add(made: Template) -> Template:
        TEMPLATES.append((family, made.__name__, hole, made))
        return made

    return add


def generated(seed: int, count: int) -> list[Attack]:
    """Attacks in the order of their templates, each with tenants and words of its own; sorted by the tenant in scope."""
    dice = random.Random(seed)
    made = []
    for n in range(count):
        family, name, hole, template = TEMPLATES[n % len(TEMPLATES)]
        own, other = dice.sample(TENANTS, 2)
        filled = {"scope": (own,), **template(dice, own, other)}
        made.append(Attack(family, name, hole, own, other, **filled))  # type: ignore[arg-type]
    return sorted(made, key=lambda one: one.own)


# -- words that are drawn -------------------------------------------------------------------------------------


def filters(dice: random.Random, own: str, other: str) -> str:
    """A filter that is missing, wrong, or about somebody else; each lets a row of `other` through."""
    return dice.choice(
        ["", f" where tenant_id = '{other}'", f" where tenant_id <> '{own}'", " where tenant_id like 't%'",
         f" where tenant_id in ('{own}', '{other}')", f" where true or tenant_id = '{own}'",
         f" where not tenant_id = '{own}'", " where name like '%canary%'", f" where person_no = '{dice.choice(PERSONS)}'",
         f" where tenant_id = (values ('{other}'))", f" where tenant_id > '{own}' or tenant_id < '{own}'"]
    )  # fmt: skip


def reading(dice: random.Random, select: str) -> tuple[str, ...]:
    """The same question, asked in another shape."""
    shape = dice.randrange(8)
    return (
        (select,),
        (f"with seen as materialized ({select}) select * from seen",),
        (f"with seen as not materialized ({select}) select * from seen",),
        (f"select * from ({select}) as seen order by 1 offset 0",),
        (f"select count(*) from ({select}) as seen",),
        (f"prepare asked as {select}", "execute asked", "deallocate asked"),
        (f"declare c cursor for {select}", "fetch all from c", "close c"),
        (f"select v.n, seen.* from (values (1)) as v (n), lateral ({select}) as seen",),
    )[shape]


def table(dice: random.Random) -> str:
    return dice.choice(TABLES)


def key(tenant: str, dice: random.Random) -> str:
    return f"'{tenant}', '{dice.choice(PERSONS)}'"


def email(tenant: str, dice: random.Random) -> str:
    return f"'{tenant}-canary-{dice.choice(PERSONS)}@x'"


# -- a filter that was forgotten ------------------------------------------------------------------------------


@attack("missing filter", "policies")
def read(dice: random.Random, own: str, other: str) -> Made:
    columns = dice.choice(["*", "tenant_id, name", "name", "max(name)", "person_no, count(*)"])
    grouped = " group by person_no" if columns.startswith("person_no") else ""
    return {"steps": reading(dice, f"select {columns} from {{s}}.{table(dice)}{filters(dice, own, other)}{grouped}")}


@attack("missing filter", "policies")
def sample(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"select name from {{s}}.{table(dice)} tablesample system (100) order by 1",)}


@attack("missing filter", "policies")
def update(dice: random.Random, own: str, other: str) -> Made:
    back = dice.choice(["", " returning tenant_id, name"])
    return {"steps": (f"update {{s}}.{table(dice)} set name = 'taken'{filters(dice, own, other)}{back}",)}


@attack("missing filter", "policies")
def delete(dice: random.Random, own: str, other: str) -> Made:
    back = dice.choice(["", " returning *"])
    return {"steps": (f"delete from {{s}}.{table(dice)}{filters(dice, own, other)}{back}",)}


@attack("missing filter", "policies")
def update_from(dice: random.Random, own: str, other: str) -> Made:
    return {
        "steps": (
            "update {s}.person as t set name = b.name from {s}.badge as b where b.person_no = t.person_no"
            f" and (t.tenant_id = '{other}' or b.tenant_id = '{other}') returning t.tenant_id, b.tenant_id",
        )
    }


@attack("missing filter", "policies")
def delete_using(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"delete from {{s}}.badge using (values ('{other}')) as v (id) where tenant_id = v.id",)}


# -- an id that was swapped -----------------------------------------------------------------------------------


@attack("swapped id", "policies")
def insert(dice: random.Random, own: str, other: str) -> Made:
    number = dice.choice(["'new'", *(f"'{p}'" for p in PERSONS)])
    into = dice.choice(["person", "slip"])
    return {"steps": (f"insert into {{s}}.{into} (tenant_id, person_no, name) values ('{other}', {number}, 'E')",)}


@attack("swapped id", "policies")
def insert_select(dice: random.Random, own: str, other: str) -> Made:
    return {
        "steps": (f"insert into {{s}}.person (tenant_id, person_no, name) select '{other}', person_no || 'x', name"
                  " from {s}.person returning tenant_id",)
    }  # fmt: skip


@attack("swapped id", "policies")
def on_conflict(dice: random.Random, own: str, other: str) -> Made:
    act = dice.choice(["nothing", "update set name = excluded.name", "update set name = 'taken'"])
    return {
        "steps": (f"insert into {{s}}.person (tenant_id, person_no, name) values ({key(other, dice)}, 'E')"
                  f" on conflict (tenant_id, person_no) do {act}",)
    }  # fmt: skip


@attack("swapped id", "policies")
def merge(dice: random.Random, own: str, other: str) -> Made:
    act = dice.choice(["update set name = 'taken'", "delete"])
    return {
        "steps": (f"merge into {{s}}.{table(dice)} as t using (values ({key(other, dice)})) as v (t, p)"
                  f" on t.tenant_id = v.t and t.person_no = v.p when matched then {act}"
                  " when not matched then insert (tenant_id, person_no, name) values (v.t, v.p, 'E')",)
    }  # fmt: skip


@attack("swapped id", "policies")
def move(dice: random.Random, own: str, other: str) -> Made:
    which = dice.choice(["person", "slip"])
    return {"steps": (f"update {{s}}.{which} set tenant_id = '{other}', person_no = person_no || 'x'",)}


@attack("swapped id", "policies")
def fetch(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"update {{s}}.person set tenant_id = '{own}', person_no = 'x' || person_no, email = null"
                      f" where tenant_id = '{other}' returning name",)}  # fmt: skip


# -- a role that is not the tenant's --------------------------------------------------------------------------


@attack("wrong role", "role of the owner")
def owner(dice: random.Random, own: str, other: str) -> Made:
    become = dice.choice(
        ["set local role syncline_owner", "set role syncline_owner",
         "select set_config('role', 'syncline_owner', true)"]
    )  # fmt: skip
    return {"steps": (become, f"select name from {{s}}.person{filters(dice, own, other)}")}


@attack("wrong role", "rights of the login")
def login(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": ("reset role", f"select name from {{s}}.person{filters(dice, own, other)}")}


@attack("wrong role", "tenant granted")
def tenant_not_granted(dice: random.Random, own: str, other: str) -> Made:
    asked = dice.choice([f"{{{other}}}", f"{{{own},{other}}}"])
    return {
        "job": f"only__{own}",
        "steps": ("reset role", f"select syncline.enter('only__{own}', 1, '{asked}')", "set local role syncline_tenant",
                  f"select name from {{s}}.person where tenant_id = '{other}'"),
    }  # fmt: skip


@attack("wrong role", "enter for the role")
def enter(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"select syncline.enter('{JOB}', 1, '{{{other}}}')", "select name from {s}.person")}


@attack("wrong role", "scope writable")
def scope(dice: random.Random, own: str, other: str) -> Made:
    become = dice.choice(["reset role", "set local role syncline_tenant"])
    return {
        "steps": (become, f"insert into syncline.scope values (pg_current_xact_id(), '{other}')",
                  "set local role syncline_tenant", "select name from {s}.person"),
    }  # fmt: skip


# -- a session that somebody else used before -----------------------------------------------------------------


@attack("pooled connection", "policy by setting")
def setting(dice: random.Random, own: str, other: str) -> Made:
    name = dice.choice(["app.tenant", "app.tenant_id", "syncline.tenant"])
    return {
        "left": (f"set {name} = '{other}'", f"set app.tenant = '{other}'"),
        "is_fresh": False,
        "steps": (f"select name from {{s}}.person{filters(dice, own, other)}",),
    }


@attack("pooled connection", "scope of every transaction")
def role_left_set(dice: random.Random, own: str, other: str) -> Made:
    return {
        "left": ("set role syncline_tenant", "select 1"),
        "is_fresh": dice.choice([True, False]),
        "scope": None,
        "steps": ("set local role syncline_tenant", f"select name from {{s}}.person where tenant_id = '{other}'"),
    }


@attack("pooled connection", "session handed on as it is")
def temporary_table(dice: random.Random, own: str, other: str) -> Made:
    return {
        "left": ("create temp table kept (name text)", "grant all on kept to syncline_tenant",
                 "set local role syncline_tenant", "insert into kept select name from {s}.person"),
        "steps": (dice.choice(["select * from kept", "select * from pg_temp.kept"]),),
    }  # fmt: skip


@attack("pooled connection", "session handed on as it is")
def cursor_with_hold(dice: random.Random, own: str, other: str) -> Made:
    return {
        "left": ("set local role syncline_tenant",
                 "declare kept cursor with hold for select name from {s}.person"),
        "steps": (dice.choice(["fetch all from kept", "fetch 2 from kept"]),),
    }  # fmt: skip


@attack("pooled connection", "policies")
def prepared(dice: random.Random, own: str, other: str) -> Made:
    return {
        "left": ("set local role syncline_tenant",
                 f"prepare kept as select name from {{s}}.person{filters(dice, own, other)}", "execute kept"),
        "is_fresh": False,
        "steps": ("execute kept",),
    }  # fmt: skip


# -- a batch that is played again into another tenant ---------------------------------------------------------

STAGED = (
    f"create unlogged table {SCRATCH} (tenant_id text, person_no text, name text)",
    f"grant select on {SCRATCH} to syncline_tenant",
)


def staged(tenant: str, dice: random.Random) -> tuple[str, ...]:
    """A staging table with rows of a tenant, as its batch left it."""
    number = dice.choice([*PERSONS, "new"])
    return (*STAGED, f"insert into {SCRATCH} values ('{tenant}', '{number}', 'E'), ('{tenant}', 'newer', 'F')")


@attack("replay", "policies")
def replay_insert(dice: random.Random, own: str, other: str) -> Made:
    return {
        "first": staged(other, dice),
        "steps": (f"insert into {{s}}.person (tenant_id, person_no, name) select * from {SCRATCH} as s where not exists"
                  " (select from {s}.person as t where t.tenant_id = s.tenant_id and t.person_no = s.person_no)",),
    }  # fmt: skip


@attack("replay", "policies")
def replay_update(dice: random.Random, own: str, other: str) -> Made:
    return {
        "first": (*STAGED, f"insert into {SCRATCH} values ({key(other, dice)}, 'taken')"),
        "steps": (f"update {{s}}.{table(dice)} as t set name = s.name from {SCRATCH} as s where t.person_no = s.person_no"
                  " and t.tenant_id = s.tenant_id",),
    }  # fmt: skip


@attack("replay", "policies")
def replay_delete(dice: random.Random, own: str, other: str) -> Made:
    return {
        "first": (*STAGED, f"insert into {SCRATCH} values ({key(other, dice)}, 'gone')"),
        "steps": (f"delete from {{s}}.{table(dice)} as t using {SCRATCH} as s where t.person_no = s.person_no"
                  f" {dice.choice(['', 'and t.tenant_id = s.tenant_id'])}",),
    }  # fmt: skip


@attack("replay", "tenant granted")
def staging_of_another_job(dice: random.Random, own: str, other: str) -> Made:
    """Nobody keeps one job's staging from another of the same login; the tenants it is granted are asked at the load."""
    return {
        "job": f"only__{own}",
        "first": (*STAGED, f"copy {SCRATCH} from stdin\f{other}\tnew\tE"),
        "steps": ("reset role", f"select syncline.enter('only__{own}', 1, array(select tenant_id from {SCRATCH}))",
                  "set local role syncline_tenant",
                  f"insert into {{s}}.person (tenant_id, person_no, name) select * from {SCRATCH}"),
    }  # fmt: skip


@attack("replay", "policies")
def letter_of_another_tenant(dice: random.Random, own: str, other: str) -> Made:
    """A payload that was opened: its row is put back under the tenant it says, not the one in scope."""
    return {
        "steps": (f"insert into {{s}}.slip (tenant_id, person_no, name) select * from"
                  f" jsonb_to_record('{{\"tenant_id\": \"{other}\", \"person_no\": \"new\", \"name\": \"E\"}}')"
                  " as r (tenant_id text, person_no text, name text)",),
    }  # fmt: skip


# -- views ----------------------------------------------------------------------------------------------------


@attack("view", "view of a superuser")
def view_read(dice: random.Random, own: str, other: str) -> Made:
    view = dice.choice(["people", "people_of_owner"])
    return {"steps": reading(dice, f"select name from {{s}}.{view}{filters(dice, own, other)}")}


@attack("view", "view of a superuser")
def view_write(dice: random.Random, own: str, other: str) -> Made:
    view = dice.choice(["people", "people_of_owner"])
    act = dice.choice([f"update {{s}}.{view} set name = 'taken'", f"delete from {{s}}.{view}"])
    return {"steps": (f"{act}{filters(dice, own, other)}",)}


@attack("view", "view of a superuser")
def view_insert(dice: random.Random, own: str, other: str) -> Made:
    view = dice.choice(["people", "people_of_owner"])
    return {"steps": (f"insert into {{s}}.{view} (tenant_id, person_no, name) values ('{other}', 'new', 'E')",)}


# -- what a constraint tells ----------------------------------------------------------------------------------


@attack("unique probe", "key without tenant")
def taken_by_update(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"update {{s}}.person set email = {email(other, dice)} where person_no = 'p1'",)}


@attack("unique probe", "key without tenant")
def taken_by_insert(dice: random.Random, own: str, other: str) -> Made:
    act = dice.choice(["", " on conflict do nothing"])
    return {"steps": (f"insert into {{s}}.person values ('{own}', 'new', 'E', {email(other, dice)}, 1){act}",)}


@attack("unique probe", "policies")
def key_exists(dice: random.Random, own: str, other: str) -> Made:
    """42501 whether the key is there or not: 23505 would tell."""
    return {
        "steps": (f"insert into {{s}}.{table(dice)} (tenant_id, person_no, name) values ({key(other, dice)}, 'E')",)
    }


@attack("foreign key probe", "reference without tenant")
def refers_to_other(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"update {{s}}.badge set email = {email(other, dice)} where person_no = 'p1'",)}


@attack("foreign key probe", "right to refer")
def reference_of_its_own(dice: random.Random, own: str, other: str) -> Made:
    return {
        "first": STAGED,
        "steps": ("reset role", f"alter table {SCRATCH} add foreign key (tenant_id, person_no) references {{s}}.person",
                  f"insert into {SCRATCH} values ({key(other, dice)}, 'E')"),
    }  # fmt: skip


@attack("foreign key probe", "policies")
def cascades(dice: random.Random, own: str, other: str) -> Made:
    act = dice.choice(["delete from {s}.person", "update {s}.person set person_no = person_no || 'x'"])
    return {"steps": (f"{act}{filters(dice, own, other)}",)}


# -- COPY -----------------------------------------------------------------------------------------------------


@attack("copy", "policies")
def copy_out(dice: random.Random, own: str, other: str) -> Made:
    what = dice.choice(["person", "badge", "slip_0", "slip_1"])
    select = f"(select * from {{s}}.{table(dice)}{filters(dice, own, other)})"
    whole = [f"{{s}}.{what}", f"{{s}}.{what} (tenant_id, name)"] if not what.startswith("slip") else []
    return {"steps": (f"copy {dice.choice([select, *whole])} to stdout",)}


@attack("copy", "no row security")
def copy_in(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"copy {{s}}.{table(dice)} (tenant_id, person_no, name) from stdin\f{other}\tnew\tE",)}


@attack("copy", "policies")
def copy_returning(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"copy (update {{s}}.person set pay = 0{filters(dice, own, other)} returning *) to stdout",)}


# -- functions and operators ----------------------------------------------------------------------------------

LEAK = (
    "create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001"
    " as 'begin raise notice ''leaked %'', $1; return true; end'",
)


@attack("functions", "policies")
def leaky_condition(dice: random.Random, own: str, other: str) -> Made:
    column = dice.choice(["name", "tenant_id", "email"])
    return {"first": LEAK, "steps": (f"select count(*) from {{s}}.person where pg_temp.leak({column})",)}


@attack("functions", "policies")
def leaky_error(dice: random.Random, own: str, other: str) -> Made:
    """A division by zero on the one row that is sought."""
    nth = TENANTS.index(other) * 10 + 10 + dice.randrange(1, 4)
    return {"steps": (f"select count(*) from {{s}}.person where 1 / (pay - {nth}) <= 2",)}


@attack("functions", "policies")
def leaky_cast(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"select pay from {{s}}.person where tenant_id = '{other}' and name::integer > 0",)}


@attack("functions", "policies")
def expression_index(dice: random.Random, own: str, other: str) -> Made:
    how = dice.choice(["= lower({})", ">= lower({})", "like lower({})"]).format(f"'{other}-canary-p1'")
    if how.startswith(">="):
        how += f" and lower(name) < '{other}-canary-p9'"
    return {"steps": ("set local enable_seqscan = off", f"select name from {{s}}.person where lower(name) {how}")}


@attack("functions", "function of a superuser")
def definer(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (dice.choice(["select {s}.headcount()", "select * from {s}.headcount()"]),)}


# -- locks, plans, parts, triggers ----------------------------------------------------------------------------


@attack("locks", "policies")
def row_locks(dice: random.Random, own: str, other: str) -> Made:
    how = dice.choice(["update", "no key update", "share", "key share"])
    wait = dice.choice(["", " nowait", " skip locked"])
    return {"steps": (f"select name from {{s}}.{table(dice)}{filters(dice, own, other)} for {how}{wait}",)}


@attack("plans", "policies")
def explain(dice: random.Random, own: str, other: str) -> Made:
    act = dice.choice(["select * from", "delete from"])
    return {
        "steps": (f"explain (analyze, costs off, timing off, summary off, format json) {act} {{s}}.person"
                  f"{filters(dice, own, other)}",)
    }  # fmt: skip


@attack("plans", "no row security")
def statistics(dice: random.Random, own: str, other: str) -> Made:
    column = dice.choice(["name", "tenant_id", "email"])
    return {
        "steps": ("select most_common_vals::text, histogram_bounds::text from pg_stats"
                  f" where schemaname = '{{s}}' and tablename = 'person' and attname = '{column}'",)
    }  # fmt: skip


@attack("parts", "part without wall")
def part(dice: random.Random, own: str, other: str) -> Made:
    act = dice.choice(["select tenant_id, name from {s}.slip_0 union all select tenant_id, name from {s}.slip_1",
                       "select name from {s}.slip_0 union all select name from only {s}.slip_1"])  # fmt: skip
    return {"steps": reading(dice, act)}


@attack("parts", "part without wall")
def part_write(dice: random.Random, own: str, other: str) -> Made:
    act = dice.choice(["update {s}.{} set name = 'taken'", "delete from {s}.{}"])
    return {"steps": tuple(act.replace("{}", name) for name in ("slip_0", "slip_1"))}


@attack("triggers", "right to trigger")
def spy(dice: random.Random, own: str, other: str) -> Made:
    when = dice.choice(["after update", "before update", "after update or delete"])
    return {
        "first": ("create temp table spied (name text) on commit drop", "grant all on spied to syncline_tenant",
                  "create function pg_temp.spy() returns trigger language plpgsql"
                  " as 'begin insert into pg_temp.spied values (old.name); return new; end'"),
        "steps": (f"create trigger spy {when} on {{s}}.person for each row execute function pg_temp.spy()",
                  "reset role", f"select syncline.enter('{JOB}', 1, '{{{other}}}')", "set local role syncline_tenant",
                  "update {s}.person set pay = pay", "select * from spied"),
    }  # fmt: skip


@attack("triggers", "right to truncate")
def truncate(dice: random.Random, own: str, other: str) -> Made:
    return {"steps": (f"truncate {{s}}.person{dice.choice([' cascade', ' restart identity cascade'])}",)}


def families() -> Iterator[str]:
    yield from dict.fromkeys(family for family, *_ in TEMPLATES)
