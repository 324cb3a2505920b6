-- Grain: one row per job and day, and per job and month, in UTC, from its first comparison or judged batch on. Periods in
-- which nothing was compared are there too, with 0.
{{ config(unique_key=['job_id', 'period', 'starts_on']) }}
-- depends_on: {{ ref('stg_ledger__batch') }} (through int_reconciliation__batch, which is no task of its own)

with event as (
    select
        job_id,
        compared_at as happened_at,
        comparison_id,
        verdict,
        case when tenant_count is null then raw_match_ratio end as raw_match_ratio,
        case when tenant_count is null then match_ratio end as match_ratio,
        null as batch_verdict,
        null as opened_by,
        null::numeric as time_to_repair_h
    from {{ ref('pub_reconciliation_history') }}
    union all
    select job_id, judged_at, null, null, null, null, verdict, null, null
    from {{ ref('int_reconciliation__batch') }}
    union all
    select job_id, first_seen_at, null, null, null, null, null, found_by, null
    from {{ ref('pub_drift') }}
    union all
    select job_id, repaired_at, null, null, null, null, null, null, time_to_repair_h
    from {{ ref('pub_drift') }}
    where repaired_at is not null
),

-- Every period from the job's first event to now, so that a month without a comparison is a line and no gap.
span as (
    select
        job_id,
        min(happened_at at time zone 'UTC') as first_at,
        greatest(max(happened_at), {{ as_of() }}) at time zone 'UTC' as last_at
    from event
    group by job_id
),

-- Each event in its day and in its month: joined by equality, or millions of pairs would be looked at.
placed as (
    select event.*, unit.period, date_trunc(unit.period, event.happened_at at time zone 'UTC')::date as starts_on
    from event
    cross join (values ('day'), ('month')) as unit (period)
),

spine as (
    select span.job_id, unit.period, step.starts_at::date as starts_on
    from span
    cross join (values ('day'), ('month')) as unit (period)
    cross join generate_series(
        date_trunc(unit.period, span.first_at), span.last_at, ('1 ' || unit.period)::interval
    ) as step (starts_at)
),

found as (
    select
        spine.job_id,
        spine.period,
        spine.starts_on,
        count(event.comparison_id) as comparisons,
        count(*) filter (where event.verdict = 'matched') as matched_comparisons,
        count(*) filter (where event.verdict = 'mismatched') as mismatched_comparisons,
        count(*) filter (where event.verdict = 'unverified') as unverified_comparisons,
        {{ share("event.verdict = 'matched'", 'event.verdict is not null') }} as matched_share,
        min(event.match_ratio) as match_ratio_min,
        (array_agg(event.match_ratio order by event.happened_at desc, event.comparison_id desc)
            filter (where event.match_ratio is not null))[1] as match_ratio_last,
        min(event.raw_match_ratio) as raw_match_ratio_min,
        count(event.opened_by) as drifts_opened,
        count(*) filter (where event.opened_by = 'automation') as drifts_found_by_automation,
        {{ share("event.opened_by = 'automation'", 'event.opened_by is not null') }} as automation_share,
        count(event.time_to_repair_h) as drifts_repaired,
        round(avg(event.time_to_repair_h), 2) as time_to_repair_h_mean,
        count(event.batch_verdict) as judged_batches,
        count(*) filter (where event.batch_verdict = 'matched') as matched_batches
    from spine
    left join placed as event using (job_id, period, starts_on)
    group by spine.job_id, spine.period, spine.starts_on
)

{{ only_changed('found') }}
