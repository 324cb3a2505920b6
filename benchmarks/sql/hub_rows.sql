-- The rows of the hub (setting bench.rows says how many), the same on every machine: everything follows from the
-- number of the row through two seeded hashes.
-- Rows lie in order of arrival, the tenants mixed, as in a hub that grew. 1 row in 1,000 has a date that is none.
insert into mdm.assignment
select
    't' || lpad((1 + (r1 % 2000))::text, 4, '0'),
    'a' || lpad(i::text, 8, '0'),
    'w' || lpad((1 + (r2 % 1500000))::text, 8, '0'),
    (array['Ana', 'Björn', 'Chiara', 'Dmitri', 'Eilidh', 'François', 'Grażyna', 'Hana', 'Íris', 'Jürgen', 'Kateřina',
        'Łukasz'])[1 + r1 / 7 % 12],
    (array['Smith', 'García', 'Müller', 'Novák', 'Okafor', 'Rossi', 'Sørensen', 'Tanaka', 'Weiß', 'Yılmaz']
        )[1 + r2 / 11 % 10] || '-' || (r2 % 9973),
    'Worker.' || i || '@example.' || (array['org', 'com', 'net'])[1 + r1 % 3],
    date '1955-01-01' + (r1 / 13 % 18000)::integer,
    (array['GB', 'DE', 'FR', 'ES', 'PL', 'us', 'JP', 'BR'])[1 + r1 / 17 % 8],
    'GB' || lpad((r1 % 97)::text, 2, '0') || ' WEST ' || lpad((r2 % 100000000)::text, 8, '0') || ' '
        || lpad((r1 % 1000000)::text, 6, '0'),
    case when i % 1000 = 0 then '2024-02-30' else to_char(date '2005-01-01' + (r2 / 19 % 7300)::integer, 'YYYY-MM-DD') end,
    (array['ACT', 'ACT', 'ACT', 'LOA', 'TRM'])[1 + r2 / 23 % 5],
    (array['engineer', 'accountant', 'nurse', 'data analyst', 'site manager', ' consultant '])[1 + r1 / 29 % 6],
    'D-' || lpad((r2 / 29 % 400)::text, 4, '0'),
    (array['London', 'Köln', 'Lyon', 'Sevilla', 'Łódź', 'Boston', 'Osaka', 'Recife'])[1 + r1 / 17 % 8],
    lpad((r2 / 31 % 100000)::text, 5, '0'),
    '+44 20 ' || lpad((r1 / 37 % 10000000)::text, 8, '0'),
    18000 + (r1 / 41 % 120000000) / 1000.0,
    (array['GBP', 'EUR', 'EUR', 'EUR', 'PLN', 'USD', 'JPY', 'BRL'])[1 + r1 / 17 % 8],
    20 + (r2 / 43 % 20000) / 1000.0,
    12 + (r1 / 47 % 900000) / 10000.0,
    (r2 / 53 % 5000000000) / 1000.0,
    date '2015-01-01' + (r1 / 59 % 4000)::integer,
    timestamptz '2015-01-01 00:00+00' + (r2 / 61 % 340000000) * interval '1 second',
    false,
    timestamptz '2026-01-01 00:00+00' + i * interval '100 milliseconds'
from generate_series(1, current_setting('bench.rows')::bigint) as i,
    lateral (
        select
            hashint8extended(i, 42) & 9223372036854775807 as r1,
            hashint8extended(i, 43) & 9223372036854775807 as r2
    ) as seeded
