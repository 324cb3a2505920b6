{# Law 2: what is called matched has no unexcused difference, and the excused ones of each class add up to their total. #}
{% test matched_hides_nothing(model) %}
select comparison_id, verdict, differing_rows, excused_rows
from {{ model }}
where
    (verdict = 'matched' and (differing_rows > excused_rows or severity is not null))
    or excused_rows <> mismatched_excused_rows + missing_in_target_excused_rows + missing_in_source_excused_rows
        + duplicate_excused_rows
{% endtest %}
