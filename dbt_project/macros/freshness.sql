{# What a reader may think of a row or a job. The first that holds, worst first:

   unreliable  a batch of the job was held, or abandoned after it had changed the target, and no later one covers it;
               or nothing was ever published
   partial     rows of the job (on a row: of the job and the row's tenant) wait in open dead letters
   delayed     older than the manifest's `sla.latency_p99_s_max`
   current     none of these

   A batch that is still under way changes nothing: it has proven nothing and refuted nothing. #}
{% macro freshness_state(is_proven, open_dead_letters, fresh_as_of, latency_s_max) -%}
    case
        when not {{ is_proven }} or {{ fresh_as_of }} is null then 'unreliable'
        when {{ open_dead_letters }} > 0 then 'partial'
        when {{ lag_s(fresh_as_of) }} > {{ latency_s_max }} then 'delayed'
        else 'current'
    end
{%- endmacro %}

{# Age in whole seconds. A batch may be published after the run became due and before it started: that is age 0. #}
{% macro lag_s(fresh_as_of) -%}
    greatest(0, floor(extract(epoch from {{ as_of() }} - {{ fresh_as_of }})))::bigint
{%- endmacro %}
