"""Restricted expressions: what they give, and that nothing but them is let through.

Whether the SQL means what it says is decided on real servers, in tests/integration/test_expressions_sql.py.
"""

from __future__ import annotations

import inspect
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlglot import exp
from sqlglot.parsers.postgres import PostgresParser

from syncline.core.expressions import Expression, ExpressionRefused, lexemes, read_expression, reading, words
from syncline.core.expressions.functions import FUNCTIONS
from syncline.core.expressions.reference import EXAMPLE_COLUMNS, OPERATORS, tables
from syncline.core.expressions.refused import DEPTH_MAX, LEXEMES_MAX, NESTING_MAX, SHOWN_MAX, TEXT_MAX
from syncline.core.types import PgType

PAGE = Path(__file__).resolve().parents[2] / "docs" / "expressions.md"
TYPES = {
    name: PgType.parse(kind)
    for name, kind in {
        "rate_amount": "numeric(14,4)", "weekly_hours": "numeric(6,3)", "n": "numeric", "i": "integer", "small": "smallint",
        "big": "bigint", "name": "text", "code": "varchar(20)", "starts_on": "date", "ends_on": "date", "t": "timestamp",
        "signed_at": "timestamptz", "gone": "boolean", "id": "uuid", "doc": "jsonb", "raw": "json", "raws": "json[]", "x": "double precision",
        "tags": "text[]", "span": "interval", "at": "time", "user": "text", "end": "text", "null": "integer", "xmin": "text",
    }.items()
}  # fmt: skip
COLUMNS = {name: sql.Identifier(name) for name in TYPES}


def read(text: str) -> Expression:
    return read_expression(text, TYPES)


def rendered(text: str) -> str:
    return read(text).sql(COLUMNS).as_string()


def refusal(text: str) -> ExpressionRefused:
    with pytest.raises(ExpressionRefused) as caught:
        read(text)
    assert 0 <= caught.value.position <= len(text)
    assert caught.value.said
    assert str(caught.value).isprintable()
    return caught.value


# -- what it gives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("name", "text"), ("code", "text"), ("i", "integer"), ("rate_amount", "numeric(14,4)"), ("id", "uuid"),
        ("tags", "text[]"), ("'x'", "text"), ("1", "smallint"), ("40000", "integer"), ("9999999999", "bigint"),
        ("12.50", "numeric(4,2)"), ("true", "boolean"), ("date '2026-12-31'", "date"),
        ("rate_amount * weekly_hours", "numeric(20,7)"), ("rate_amount + 1", "numeric(15,4)"), ("i + i", "numeric(11,0)"),
        ("rate_amount / weekly_hours", "numeric"), ("n * 2", "numeric"), ("round(rate_amount / weekly_hours, 2)", "numeric(17,2)"),
        ("round(n, 2)", "numeric(903,2)"), ("i % 2", "numeric(1,0)"), ("-rate_amount", "numeric(14,4)"), ("abs(i)", "numeric(10,0)"),
        ("name || code", "text"), ("length(name)", "integer"), ("ends_on - starts_on", "integer"), ("starts_on + 30", "date"),
        ("30 + starts_on", "date"), ("extract(year from starts_on)", "integer"), ("extract(second from t)", "numeric(8,6)"),
        ("date_trunc('month', starts_on)", "date"), ("date_trunc('month', t)", "timestamp"), ("signed_at at time zone 'UTC'", "timestamp"),
        ("(signed_at at time zone 'Europe/London')::date", "date"), ("coalesce(small, i)", "integer"), ("coalesce(i, 0)", "integer"),
        ("coalesce(i, 0.5)", "numeric(11,1)"), ("coalesce(i, n)", "numeric"), ("nullif(code, '')", "text"), ("nullif(i, rate_amount)", "numeric(14,4)"), ("nullif(i, big)", "integer"), ("doc = doc", "boolean"),
        ("coalesce(id, id)", "uuid"), ("case when gone then 1 end", "smallint"), ("case when gone then null else starts_on end", "date"),
        ("name is null", "boolean"), ("i::numeric", "numeric(10,0)"), ("i::text", "text"), ("id::text", "text"), ("greatest(i, big)", "bigint"),
    ],
)  # fmt: skip
def test_the_type_of_a_result_is_the_narrowest_that_holds_it(text: str, kind: str) -> None:
    assert str(read(text).type) == kind


def test_columns_are_told_in_order_of_first_use() -> None:
    assert read("coalesce(name, code) || name || i::text").columns == ("name", "code", "i")
    assert read("1 + 1").columns == ()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("RATE_AMOUNT * Weekly_Hours", "rate_amount * weekly_hours"),
        ("CASE WHEN gone THEN 1 END", "case when gone then 1 end"),
        ('"name"', "name"),
        ("(((name)))", "name"),
        ("substr(name, 1, 2)", "substring ( name ,\n 1 , 2 )"),
        ("i != 1", "i <> 1"),
        ("cast(i as text)", "i::text"),
        ("mod(i, 2)", "i % 2"),
        ("'2026-12-31'::date", "date '2026-12-31'"),
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("name || code = name", "(name || code) = name"),
        ("not gone and gone or gone", "((not gone) and gone) or gone"),
        ("-i = 1", "(-i) = 1"),
        ("gone and i between 1 and 2 and gone", "(gone and (i between 1 and 2)) and gone"),
        ("i - 1 - 2", "(i - 1) - 2"),
    ],
)
def test_spellings_of_one_meaning_give_one_statement(text: str, same: str) -> None:
    assert rendered(text) == rendered(same)


def test_reserved_words_and_keywords_are_columns_in_quotes() -> None:
    assert read('"user" || "end"').columns == ("user", "end")
    assert read('"null" + 1').type == PgType.parse("numeric(11,0)")
    assert read("at = at").columns == ("at",)
    assert read("signed_at at time zone 'UTC'").columns == ("signed_at",)


def test_a_text_in_quotes_is_data_whatever_it_says() -> None:
    poison = "'; drop table x; -- $$ {name} %(x)s {{ y }} \\' /* */ current_date"
    made = read("name || '" + poison.replace("'", "''") + "'").sql(COLUMNS)
    assert sql.Literal(poison).as_string() in made.as_string()


def test_the_statement_is_composed_and_the_columns_may_be_anything() -> None:
    made = read("name || code").sql({"name": sql.Identifier("s", 'na"me'), "code": sql.SQL("('x')")}).as_string()
    assert '("s"."na""me")::text' in made
    assert "(('x'))::text" in made


@pytest.mark.parametrize(
    ("text", "is_partial"),
    [
        ("name", False), ("coalesce(name, code)", False), ("case when gone then i end", False), ("i + 1", False), ("i / 2", False),
        ("name = code", False), ("name like 'a%'", False), ("n > 1", False), ("starts_on > ends_on", False), ("name is null", False),
        ("i / i", True), ("i % small", True), ("n + 1", True), ("name || code", True), ("starts_on + 1", True), ("starts_on::text", True),
        ("lower(name)", True), ("left(name, i)", True), ("left(name, small)", True), ("case when gone then n + 1 end", True),
    ],
)  # fmt: skip
def test_only_what_may_have_no_result_can_reject_a_row(text: str, is_partial: bool) -> None:
    expression = read(text)
    assert expression.is_partial is is_partial
    assert (expression.fails(COLUMNS) is not None) is is_partial


# -- what is refused, where and with which remedy -----------------------------------------------------------------

REFUSED = [
    # text, position, said, allowed, nearest
    ("", 0, "empty", "write a value", ""),
    (" \n ", 0, "empty", "write a value", ""),
    ("rate_amuont * 2", 0, "'rate_amuont' is not a column", "", "rate_amount"),
    ("name || cod", 8, "'cod' is not a column", "", "code"),
    ('"Name"', 0, "'Name' is not a column", "single quotes", "name"),
    ("code = ACTIVE", 7, "'active' is not a column", "single quotes", ""),
    ('code = "ACTIVE"', 7, "'ACTIVE' is not a column", "single quotes", ""),
    ("coalese(name, code)", 0, "'coalese' is not a function", "docs/expressions.md", "coalesce"),
    ("i + lenght(name)", 4, "'lenght' is not a function", "", "length"),
    ("now()", 0, "'now' is not a function", "no clock", ""),
    ("current_date - starts_on", 0, "reserved word", "no clock", ""),
    ("user || 'x'", 0, "reserved word", 'written "user"', ""),
    ("random()", 0, "not a function", "no chance", ""),
    ("sum(i)", 0, "not a function", "one row", ""),
    ("i > (select 1)", 5, "'select' is a reserved word", "one row", ""),
    ("to_date(name, 'YYYY')", 0, "not a function", "parse_date", ""),
    ("to_number(name, '9')", 0, "not a function", "parse_number", ""),
    ("ctid", 0, "database itself", "source", ""),
    ("xmin", 0, "database itself", "source", ""),
    ('"xmin"', 0, "database itself", "source", ""),
    ("s.name", 1, "'.'", "by their name alone", ""),
    ("pg_catalog.lower(name)", 10, "'.'", "by their name alone", ""),
    ("name || $1", 8, "'$'", "no parameters", ""),
    ("name || %s", 9, "'s' is not a column", "", ""),
    ("name || % name", 8, "'%'", "a value is missing", ""),
    ("name || {x}", 8, "'{'", "no templates", ""),
    ("name || :x", 8, "':'", "no parameters", ""),
    ("tags[1]", 4, "'['", "no arrays", ""),
    ("name; drop table x", 4, "';'", "no statements", ""),
    ("name -- x", 5, "a comment", "description", ""),
    ("name /* x */", 5, "a comment", "description", ""),
    ("name || 'x", 8, "'''", "does not end", ""),
    ('name || "x', 8, "'\"'", "does not end", ""),
    ("name || E'x'", 8, "'e' before a text", "literals are", ""),
    ("i + 1e5", 4, "'1e5' is not a number", "digits", ""),
    ("i + 0x1F", 4, "'0x1F' is not a number", "digits", ""),
    ("i + 1_000", 4, "'1_000' is not a number", "digits", ""),
    ("name::integer", 6, "no cast to integer", "round, cast, parse_date", ""),
    ("name::regclass", 6, "no cast to regclass", "only ::text", ""),
    ("cast(i as txt)", 10, "no cast to txt", "", "text"),
    ("name::varchar(3)", 6, "no cast to varchar", "", ""),
    ("name::numeric", 0, "::numeric takes number, not text", "parse_number", ""),
    ("name::date", 0, "::date takes date, not text", "parse_date", ""),
    ("signed_at::date", 0, "not timestamptz", "at time zone", ""),
    ("signed_at::text", 0, "depends on the session", "to_char", ""),
    ("x::text", 0, "depends on the session", "to_text", ""),
    ("span::text", 0, "depends on the session", "to_text", ""),
    ("name + 1", 0, "`+` takes number, not text", "parse_number", ""),
    ("1 + name", 4, "`+` takes number, not text", "parse_number", ""),
    ("30 - starts_on", 0, "`-` takes date, not smallint", "", ""),
    ("starts_on * 2", 0, "`*` takes number, not date", "", ""),
    ("x * 2", 0, "takes number, not double precision", "rounded", ""),
    ("name || i", 8, "`||` takes text, not integer", "x::text", ""),
    ("name = 1", 7, "`=` of text and smallint", "parse_number", ""),
    ("starts_on > '2026-01-01'", 12, "`>` of date and text", "date '2026-12-31'", ""),
    ("starts_on > t", 12, "`>` of date and timestamp", "x::date", ""),
    ("id = 'x'", 5, "`=` of uuid and text", "x::text", ""),
    ("gone > gone", 0, "`>` does not take boolean", "= and <>", ""),
    ("raw = raw", 0, "`=` does not take json", "x::text", ""),
    ("raws = raws", 0, "`=` does not take json[]", "", ""),
    ("raws is distinct from raws", 0, "does not take json[]", "", ""),
    ("name = null", 7, "null is never true", "is null", ""),
    ("i in (1, null)", 9, "null is never true", "is null", ""),
    ("i in (1, i)", 9, "takes literals", "a = b or", ""),
    ("i in 1", 2, "'in' cannot stand here", "in ('A', 'B')", ""),
    ("i + null", 4, "null is always null", "is null", ""),
    ("null", 0, "is null", "write a value", ""),
    ("i / 0", 4, "division by zero", "", ""),
    ("i % 0.00", 4, "division by zero", "", ""),
    ("name like code", 10, "not a literal", "single quotes", ""),
    ("name like 'a\\'", 10, "a backslash", "% _", ""),
    ("name ~ '(?i)x'", 7, "cannot run", "", ""),
    ("name ~ code", 7, "not a literal", "single quotes", ""),
    ("left(name, 1.5)", 11, "whole numbers", "trunc", ""),
    ("substring(name, 1, -1)", 20, "not a whole number from 0", "digits", ""),
    ("split_part(name, ',', 0)", 22, "no part 0", "-1 the last", ""),
    ("lpad(name, i)", 11, "not a whole number", "digits", ""),
    ("lpad(name, 1001)", 11, "from 0 to 1000", "digits", ""),
    ("round(n, 31)", 9, "from 0 to 30", "digits", ""),
    ("date '2026-02-30'", 5, "'2026-02-30' is not a date", "2026-12-31", ""),
    ("date 'today'", 5, "'today' is not a date", "2026-12-31", ""),
    ("timestamptz '2026-01-01 00:00:00'", 12, "not a timestamptz", "", ""),
    ("interval '1 day'", 0, "'interval' before a text", "date + 30", ""),
    ("signed_at at time zone name", 23, "not a literal", "single quotes", ""),
    ("signed_at at time zone 'Mars'", 23, "'Mars' is not a time zone", "Europe/London", ""),
    ("t at time zone 'UTC'", 0, "takes timestamptz", "", ""),
    ("extract(hour from starts_on)", 8, "no 'hour' of a date", "year", ""),
    ("extract(epoch from t)", 8, "no 'epoch'", "year", ""),
    ("date_trunc('hour', starts_on)", 11, "no 'hour' of a date", "year", ""),
    ("to_char(t, 'Month')", 11, "the format", "YYYY", ""),
    ("to_char(t, 'DDTHH24')", 11, "the format", "YYYY", ""),
    ("case when i then 1 end", 10, "takes boolean, not integer", "", ""),
    ("case when gone then 1 else 'x' end", 27, "`case` of smallint and text", "", ""),
    ("case when gone then null end", 20, "nothing but null", "write a value", ""),
    ("case i when 'x' then 1 end", 12, "`case` of integer and text", "", ""),
    ("i and gone", 0, "`and` takes boolean, not integer", "", ""),
    ("i name", 2, "'name' cannot stand here", "operator is missing", ""),
    ("'a' 'b'", 4, "'b' cannot stand here", "operator is missing", ""),
    ("i + * 2", 4, "'*' cannot stand here", "value is missing", ""),
    ("i +", 3, "ends too early", "value is missing", ""),
    ("(i + 1", 0, "'(' is never closed", "", ""),
    ("i + 1)", 5, "')' cannot stand here", "nothing is open", ""),
    ("case when gone then (i end", 23, "'end' cannot stand here", "nothing is open", ""),
    ("lower()", 6, "')' cannot stand here", "value is missing", ""),
    ("lower(name, name)", 0, "2 operands", "lower(text)", ""),
    ("i = 1 = 2", 6, "'=' cannot stand here", "parentheses", ""),
    ("i is null is null", 10, "'is' cannot stand here", "parentheses", ""),
    ("gone = not gone", 7, "'not' cannot stand here", "parentheses", ""),
    ("not not gone", 0, "'not' cannot stand here", "parentheses", ""),
    ("- - i", 0, "'-' cannot stand here", "parentheses", ""),
    ("i == 1", 3, "'=' cannot stand here", "value is missing", ""),
    ("gone then 1", 5, "'then' cannot stand here", "belongs into `case`", ""),
    ("name as code", 8, "no cast to code", "only ::text", ""),
    ("name as text", 5, "'as' cannot stand here", "cast(x as text)", ""),
    ("i from name", 2, "'from' cannot stand here", "extract", ""),
    ("a\u200bb", 1, "U+200B", "can be seen", ""),
    ("name || '\x00'", 9, "U+0000", "can be seen", ""),
    ("name || '\ud800'", 9, "U+D800", "can be seen", ""),
    ("n\u0430me", 1, "not part of expressions", "", ""),
    ("replace(name, 'a', '" + "b" * 1_500 + "')", 0, "could have", "shorten", ""),
    ("i" + " + i" * DEPTH_MAX, 0, "operators inside each other", "several fields", ""),
    ("i + " * 20_000, TEXT_MAX, "characters", "several fields", ""),
    ("(" * 100_000, TEXT_MAX, "characters", "several fields", ""),
    ("(" * 1_000, LEXEMES_MAX, "words and signs", "several fields", ""),
    ("(" * (NESTING_MAX + 1) + "i" + ")" * (NESTING_MAX + 1), NESTING_MAX, "nested deeper", "several fields", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "position", "said", "allowed", "nearest"), REFUSED, ids=lambda v: repr(v)[:40])
def test_a_refusal_says_where_what_and_what_instead(
    text: str, position: int, said: str, allowed: str, nearest: str
) -> None:
    refused = refusal(text)

    assert refused.position == position
    assert said in refused.said
    assert allowed in refused.allowed
    assert not nearest or refused.nearest == nearest


# Whatever surrounds them, these are no part of an expression.
POISON = r"""
1); drop table x; -- ¦ i); delete from t; -- ¦ pg_sleep(1) ¦ (select 1) ¦ (table x) ¦ (values (1)) ¦ exists(select 1) ¦ array[1]
array(select 1) ¦ $$x$$ ¦ $a$x$a$ ¦ U&'\0041' ¦ U&"\0041" ¦ u&'x' uescape '!' ¦ E'\x41' ¦ e'\'' ¦ N'x' ¦ B'101' ¦ X'1F' ¦ b'1' ¦ x'1'
name::regclass ¦ name::regproc ¦ i::oid ¦ 'x'::regclass ¦ lo_import('/etc/passwd') ¦ lo_export(1, 'x') ¦ pg_read_file('x') ¦ pg_ls_dir('.')
query_to_xml('select 1', true, true, '') ¦ table_to_xml('t', true, true, '') ¦ database_to_xml(true, true, '') ¦ current_setting('x')
set_config('a', 'b', true) ¦ dblink('x') ¦ /* x */ i ¦ i /* /* */ */ ¦ i -- x ¦ -- ¦ /* ¦ */ ¦ $1 ¦ $2::text ¦ %s ¦ %(x)s ¦ {x} ¦ {{ x }}
{% if x %} ¦ #{x} ¦ ${x} ¦ ? ¦ :x ¦ :'x' ¦ :"x" ¦ @x ¦ @@x ¦ \x ¦ \gexec ¦ version() ¦ current_user ¦ session_user ¦ user ¦ system_user
current_date ¦ current_time ¦ current_timestamp ¦ localtime ¦ localtimestamp ¦ current_catalog ¦ current_schema ¦ current_role ¦ now()
clock_timestamp() ¦ statement_timestamp() ¦ random() ¦ gen_random_uuid() ¦ uuid_generate_v4() ¦ nextval('s') ¦ txid_current()
pg_backend_pid() ¦ inet_client_addr() ¦ count(*) ¦ count(i) ¦ sum(i) ¦ max(i) ¦ string_agg(name, ',') ¦ row_number() over ()
sum(i) over (partition by name) ¦ lag(i) over w ¦ generate_series(1, 10) ¦ unnest(tags) ¦ json_each(doc) ¦ regexp_split_to_table(name, ',')
ctid ¦ tableoid ¦ xmin ¦ cmax ¦ oid ¦ * ¦ t.* ¦ s.name ¦ pg_catalog.lower(name) ¦ public.f(i) ¦ "pg_catalog"."lower"(name) ¦ name collate "C"
name operator(pg_catalog.+) 1 ¦ i operator(+) 1 ¦ row(1, 2) ¦ (1, 2) ¦ (i, name) = (1, 'x') ¦ doc -> 'a' ¦ doc ->> 'a' ¦ doc #> '{a}'
doc @> doc ¦ doc ? 'a' ¦ tags[1] ¦ tags || 'x'::text[] ¦ interval '1 day' ¦ span '1 day' ¦ time '10:00' ¦ int '1' ¦ numeric '1' ¦ json '{}'
point '(1,2)' ¦ name similar to 'x' ¦ name ~* 'x' ¦ name !~* 'x' ¦ name ~~ 'x' ¦ name !~~ 'x' ¦ name @@ 'x' ¦ i ^ 2 ¦ i & 1 ¦ i | 1 ¦ i # 1
~ i ¦ i << 1 ¦ i >> 1 ¦ @ i ¦ i ! ¦ !! i ¦ |/ i ¦ ||/ i ¦ i // 2 ¦ i div 2 ¦ i mod 2 ¦ i ** 2 ¦ name <-> 'x' ¦ name ^@ 'x' ¦ name => 'x'
i := 1 ¦ i isnull ¦ i notnull ¦ i is unknown ¦ i is document ¦ i is normalized ¦ i is json ¦ i is of (text) ¦ i between symmetric 2 and 1
i in (select 1) ¦ i in () ¦ i = any (tags) ¦ i = all (tags) ¦ i = some (tags) ¦ name like any (tags) ¦ name like 'x' escape '!'
overlaps(i, i) ¦ (starts_on, ends_on) overlaps (starts_on, ends_on) ¦ lower(all name) ¦ lower(distinct name) ¦ lower(name order by name)
lower(name) filter (where true) ¦ lower(variadic tags) ¦ lower(name => 'x') ¦ lower(name) within group (order by i) ¦ coalesce ¦ lower ¦ case
case end ¦ case when gone end ¦ case when gone then end ¦ case gone then 1 end ¦ case when gone then 1 else end ¦ case else 1 end
case when gone when gone then 1 end ¦ case when gone then 1 then 2 end ¦ case when gone then 1 else 2 else 3 end ¦ case when gone then 1 ¦ end
then ¦ when gone then 1 ¦ i between 1 ¦ i between 1 2 ¦ i between 1 or 2 ¦ i between and 2 ¦ between 1 and 2 ¦ i not ¦ i not 1 ¦ not ¦ is null
i is ¦ i is not ¦ i is 1 ¦ i is name ¦ i is distinct 1 ¦ i is distinct from ¦ i not is null ¦ name not ¦ name like ¦ like 'x' ¦ in (1) ¦ i in
i in ( ¦ i in (1 ¦ i in (1,) ¦ i in (,1) ¦ i in 1 ¦ () ¦ ( ) ¦ i () ¦ name() ¦ "lower"(name) ¦ "name" "code" ¦ i, ¦ ,i ¦ lower(name,)
lower(,name) ¦ cast(i) ¦ cast(i as) ¦ cast(as text) ¦ cast(i text) ¦ cast(i as text as text) ¦ cast i as text ¦ try_cast(i as text) ¦ i::
::text ¦ i::text[] ¦ i::text:: ¦ i:text ¦ i::"text" ¦ extract(year) ¦ extract(from t) ¦ extract(year t) ¦ extract(year from) ¦ extract(year, t)
extract(year from t from t) ¦ date_part('year', t) ¦ date ¦ date '' ¦ date 'now' ¦ date 'infinity' ¦ date '2026-1-1' ¦ date '31/12/2026'
date '0000-01-01' ¦ date '10000-01-01' ¦ date '2026-12-31 BC' ¦ timestamp 'now' ¦ timestamp '2026-01-01'
timestamptz '2026-01-01 00:00:00 Europe/London' ¦ signed_at at ¦ signed_at at time ¦ signed_at at time zone ¦ signed_at at local
signed_at at time zone i ¦ at time zone 'UTC' ¦ position('a' in name) ¦ substring(name from 1 for 2) ¦ trim(both 'x' from name)
trim(leading from name) ¦ overlay(name placing 'x' from 1) ¦ substring(name similar 'x' escape 'y') ¦ convert(name using x) ¦ treat(i as text)
grouping(i) ¦ xmlelement(name x) ¦ xmlparse(document 'x') ¦ json_object('a': 1) ¦ json_value(doc, '$.a') ¦ merge_action() ¦ next value for s
with x as (select 1) select 1 ¦ select 1 ¦ table x ¦ begin ¦ commit ¦ copy x from program 'x' ¦ do $$ begin end $$ ¦ explain select 1
insert into x values (1) ¦ i union select 1 ¦ i limit 1 ¦ i where true ¦ i from x ¦ i; i ¦ ; ¦ . ¦ .. ¦ 1..2 ¦ 1.2.3 ¦ 1e ¦ 1e+ ¦ 1a ¦ .e1
0b1 ¦ 0o7 ¦ 1__0 ¦ " ¦ "" ¦ " " ¦ ' ¦ ''' ¦ 'a' 'b' ¦ 'a'  'b' ¦ name 'x' ¦ i 1 ¦ 1 i ¦ 1 1 ¦ + ¦ - ¦ - - i ¦ + - i ¦ + i ¦ + name ¦ i * + 1 ¦ -+i
= i ¦ i = ¦ i = = 1 ¦ i <> <> 1 ¦ i < = 1 ¦ i > < 1 ¦ i ! = 1 ¦ i =! 1 ¦ i || || i ¦ gone = not gone
"""
POISONS = sorted({part.strip() for line in POISON.splitlines() for part in line.split("¦") if part.strip()})


@pytest.mark.parametrize("poison", POISONS)
def test_nothing_else_is_an_expression(poison: str) -> None:
    for around in ("{}", "coalesce({}, {})", "name || {}", "case when {} then 1 end", "({}) is null", "{} or gone"):
        refusal(around.replace("{}", poison))


def test_there_are_hundreds_of_texts_that_are_refused() -> None:
    assert len(POISONS) + len(REFUSED) > 400


def test_a_refusal_repeats_no_more_than_a_few_letters() -> None:
    for text in (
        "z" * 500,
        '"' + "z" * 500 + '"',
        "1" * 500,
        "i::" + "z" * 500,
        "z" * 500 + "('x')",
        "date '" + "z" * 500 + "'",
    ):
        refused = refusal(text)
        assert len(refused.said) < SHOWN_MAX + 60


# -- no text brings the reader down -------------------------------------------------------------------------------

DEEPEST = [
    "(" * NESTING_MAX + "i" + ")" * NESTING_MAX,
    "abs(" * NESTING_MAX + "i" + ")" * NESTING_MAX,
    "not (" * NESTING_MAX + "gone" + ")" * NESTING_MAX,
    "-(" * NESTING_MAX + "i" + ")" * NESTING_MAX,
    "1 + (1 * (" * (NESTING_MAX // 2) + "i" + "))" * (NESTING_MAX // 2),
    "case when gone then 1 else " * NESTING_MAX + "2" + " end" * NESTING_MAX,
    "case " * NESTING_MAX + "gone" + " when true then true end" * NESTING_MAX,
    "coalesce(i, cast(extract(year from date '2026-01-01') as numeric) + " * (NESTING_MAX // 2 - 1) + "1" + ")" * (NESTING_MAX // 2 - 1),
    "i" + " + i" * (DEPTH_MAX - 3),
    "gone" + " and gone" * (DEPTH_MAX - 3),
    "name" + "::text" * 50,
]  # fmt: skip


@pytest.mark.parametrize("text", DEEPEST, ids=lambda text: text[:30])
def test_the_deepest_that_is_allowed_can_be_read_with_half_of_the_stack(text: str) -> None:
    limit = sys.getrecursionlimit()
    depth = len(inspect.stack(0))
    try:
        sys.setrecursionlimit(depth + 500)
        made = reading.read(text, TYPES)[0]
        assert made.value(COLUMNS).as_string()
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    "text",
    ["(" * 100_000, "((((" * 25_000 + "i", "i" + "+i" * 10_000, "i" + "+i" * 900, "not " * 499 + "gone", "- " * 999 + "i", "+" * 2_000,
     "case when " * 199 + "gone", "i" + "::text" * 300, "coalesce(" * 199, "'" * 1_999, '"' * 1_999, "i in (" + "1," * 900 + "1)",
     "case" + " when gone then 1" * 110 + " end", "abs(" * 30 + "i" + ")" * 30, "[" * 2_000, "{" * 2_000, "a." * 999 + "a"],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_no_text_is_too_much(text: str) -> None:
    refusal(text)


def test_the_statement_cannot_grow_without_bound() -> None:
    text, sizes = "i", []
    for _ in range(5):  # each of these writes its operand twice, because its bounds do not decide
        sizes.append(len(rendered(text)))
        text = f"length(left(name, {text} * 1000000000))"
    assert sizes[-1] > 4 * sizes[-2] / 3
    wide = " || ".join(f"left(name, {text} * 1000000000)" for _ in range(6))
    assert "too long" in refusal(f"case when gone then {wide} end").said


PIECES = [
    *TYPES, *FUNCTIONS, *words.KEYWORDS, *words.RESERVED, "(", ")", ",", "+", "-", "*", "/", "%", "||", "=", "<>", "<", ">=", "~", "!~", "::",
    "'x'", "'2026-01-01'", "1", "2.5", "date", "text", "numeric", "year", "at time zone", "is not distinct from", "not in", ";", "$1", "--",
    "/*", "[", "]", ".", "\\", "'", '"', "{", "&", "é", "\u202e", "0", "''", "e'x'", "cast(", "extract(",
]  # fmt: skip
VALID = [operator.example for operator in OPERATORS] + [
    "coalesce(nullif(trim(name), ''), code)", "round(amount * hours * 52, 2)", "left(name, strpos(name || ' ', ' ') - 1)",
    "case when code in ('A', 'B') and hours between 1 and 40 then upper(name) else concat_ws(' ', name, code) end",
    "date_trunc('month', starts_on + hours % 30) - date '2026-01-01'", "to_char(signed_at at time zone 'UTC', 'YYYY-MM')",
]  # fmt: skip
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EXAMPLE_TYPES = {name: PgType.parse(kind) for name, kind in EXAMPLE_COLUMNS.items()}


def _is_expression_or_refused(text: str, types: dict[str, PgType]) -> None:
    refused = None
    try:
        node, _ = reading.read(text, types)
    except ExpressionRefused as caught:
        refused = caught
    if refused is None:
        assert node.value({name: sql.Identifier(name) for name in types}).as_string()
    else:
        assert 0 <= refused.position <= len(text)
        assert str(refused).isprintable()


@MANY
@given(st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join))
def test_a_soup_of_words_is_an_expression_or_refused(text: str) -> None:
    _is_expression_or_refused(text, TYPES)


@MANY
@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    _is_expression_or_refused(text, TYPES)


@MANY
@given(st.sampled_from(VALID), st.randoms(use_true_random=False))
def test_a_mutated_expression_is_an_expression_or_refused(text: str, chance: random.Random) -> None:
    pieces = re.findall(r"\w+|'[^']*'|\s+|.", text)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(pieces))
        match chance.randrange(4):
            case 0:
                pieces[at] = chance.choice(PIECES)
            case 1:
                pieces.insert(at, f" {chance.choice(PIECES)} ")
            case 2 if len(pieces) > 1:
                del pieces[at]
            case _:
                other = chance.randrange(len(pieces))
                pieces[at], pieces[other] = pieces[other], pieces[at]
    _is_expression_or_refused("".join(pieces), EXAMPLE_TYPES)


# -- the parser is kept on a leash --------------------------------------------------------------------------------


def test_no_name_or_literal_of_an_author_reaches_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    parse_into = PostgresParser.parse_into

    def spy(self: PostgresParser, kinds: Any, tokens: Any, text: Any = None) -> Any:
        seen.extend(token.text for token in tokens)
        assert text == ""
        return parse_into(self, kinds, tokens, text)

    monkeypatch.setattr(PostgresParser, "parse_into", spy)
    reading.read("coalesce(name, 'secret') || left(code, 3) || (date '2026-01-01')::text || i::text", TYPES)
    assert {text for text in seen if text.strip("n0123456789")} <= {"(", ")", ",", "||", "::", "date", "text"}


def test_a_node_that_nobody_thought_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(reading.READERS)
    for kind in known:
        monkeypatch.setattr(reading, "READERS", {k: v for k, v in known.items() if k is not kind})
        texts = [*VALID, "-amount", "signed_at at time zone 'UTC'"]
        assert any(_is_refused(text) for text in texts), f"no example uses {kind.__name__}"


@pytest.mark.parametrize(
    "tree",
    [
        exp.Column(this=exp.Identifier(this="n0"), table=exp.Identifier(this="n0")),
        exp.In(this=exp.column("n0", quoted=True), query=exp.select("1").subquery()),
        exp.Between(this=exp.column("n0"), low=exp.column("n0"), high=exp.column("n0"), symmetric=True),
        exp.Cast(this=exp.column("n0"), to=exp.DataType.build("text"), format=exp.Literal.string("n0")),
        exp.Anonymous(this="n0", expressions=[exp.column("n0")], within_group=True),
        exp.Select(expressions=[exp.column("n0")]), exp.Star(), exp.Placeholder(), exp.Window(this=exp.column("n0")),
    ],
    ids=lambda tree: type(tree).__name__,
)  # fmt: skip
def test_a_known_node_with_an_unknown_part_is_refused(tree: exp.Expr) -> None:
    reader = reading._Reader(lexemes.lexemes("i", TYPES, frozenset()), TYPES)
    assert reader.read(exp.column("n0")).type == TYPES["i"]
    with pytest.raises(ExpressionRefused, match="not part of expressions"):
        reader.read(tree)


def test_every_text_is_compared_by_code_point() -> None:
    for text in (
        "name < code",
        "name between 'a' and code",
        "greatest(name, 'x') = upper(code)",
        "name in ('a')",
        "i::text > name",
    ):
        made = read(text).sql(COLUMNS).as_string()
        assert made.count("::text") == made.count('::text collate pg_catalog."C"') >= 2


def _is_refused(text: str) -> bool:
    try:
        reading.read(text, EXAMPLE_TYPES)
    except ExpressionRefused:
        return True
    return False


def test_words_of_the_vocabulary_stand_in_one_list_only() -> None:
    assert not set(FUNCTIONS) & words.KEYWORDS
    assert not set(FUNCTIONS) & set(words.ELSEWHERE)
    assert set(words.SPECIAL) <= words.RESERVED | {"extract"}
    assert words.INFIX | words.KEYWORDS | {"is", "::"} <= set(reading.TOKENS) | {"!~", ","}
    assert lexemes.NAME.fullmatch("rate_amount")


# -- the reference page -------------------------------------------------------------------------------------------


def test_the_page_lists_what_the_code_knows() -> None:
    begin, end = "<!-- made by syncline.core.expressions.reference -->\n", "\n<!-- end -->"
    page = PAGE.read_text()
    made = page[page.index(begin) + len(begin) : page.index(end)]
    told = 'python -c "from syncline.core.expressions.reference import tables; print(tables())"'
    assert made.strip() == tables().strip(), f"put the output of this between the marks of {PAGE.name}: {told}"


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.usage)
def test_every_operator_of_the_page_exists(operator: Any) -> None:
    assert str(read_expression(operator.example, EXAMPLE_TYPES).type).split("(")[0] in {
        "numeric", "integer", "text", "boolean", "date", "timestamp", "smallint"}  # fmt: skip


def test_every_operator_of_the_code_is_on_the_page() -> None:
    examples = " ".join(operator.example for operator in OPERATORS)
    missing = [word for word in words.INFIX | words.KEYWORDS | {"::", "at time zone"} if word not in examples]
    assert set(missing) <= {",", "null"}


@pytest.mark.parametrize("example", re.findall(r"^expression: (.*)$", PAGE.read_text() if PAGE.exists() else "", re.M))
def test_the_examples_of_the_page_can_be_read(example: str) -> None:
    types = {**EXAMPLE_TYPES, **{name: kind for name, kind in TYPES.items() if name not in EXAMPLE_TYPES}}
    read_expression(example.strip().strip('"'), types)
