-- Grain: one row per full record comparison that ended, of every job. Failed ones too: not compared is unverified.
{{ config(unique_key='comparison_id') }}

with found as (
    select
        comparison.comparison_id,
        comparison.job_id,
        job.source_system,
        job.target_system,
        comparison.control,
        comparison.depth,
        comparison.is_scheduled,
        comparison.sample_ratio,
        comparison.confidence,
        comparison.tenant_count,
        comparison.is_whole_job,
        comparison.verdict,
        comparison.reason,
        comparison.source_rows,
        comparison.target_rows,
        comparison.identical_rows,
        comparison.mismatched_rows,
        comparison.missing_in_target_rows,
        comparison.missing_in_source_rows,
        comparison.duplicate_rows,
        comparison.mismatched_rows + comparison.missing_in_target_rows + comparison.missing_in_source_rows
            + comparison.duplicate_rows as differing_rows,
        comparison.excused_rows,
        {% for record_class in ['mismatched', 'missing_in_target', 'missing_in_source', 'duplicate'] -%}
        coalesce(difference.{{ record_class }}_excused_rows, 0) as {{ record_class }}_excused_rows,
        {% endfor -%}
        coalesce(difference.unknown_rows, 0) as unknown_rows,
        difference.differing_fields,
        comparison.raw_match_ratio,
        comparison.match_ratio,
        comparison.severity,
        comparison.published_batch_id,
        comparison.source_as_of as fresh_as_of,
        comparison.ended_at as compared_at
    from {{ ref('stg_ledger__comparison') }} as comparison
    inner join {{ ref('stg_ledger__job') }} as job using (job_id)
    left join {{ ref('int_reconciliation__difference') }} as difference using (comparison_id)
)

{{ only_changed('found') }}
