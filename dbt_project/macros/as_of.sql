{# The moment that freshness is judged at, given by the DAG run: a rerun of last Tuesday says what last Tuesday said.
   Never now(), and never a word that PostgreSQL would read as now ('today', 'now'). #}
{% macro as_of() -%}
    {%- if not execute -%}
        cast(null as timestamptz)
    {%- else -%}
        {%- set given = var('as_of', '') | string -%}
        {%- set moment = '\\d{4}-\\d{2}-\\d{2}[T ]\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,6})?)?(Z|[+-]\\d{2}:?\\d{2})' -%}
        {%- if not modules.re.fullmatch(moment, given) -%}
            {{ exceptions.raise_compiler_error(
                "var `as_of` is '" ~ given[:40] ~ "'; it must be an ISO time with an offset, as the DAG publish_tables "
                ~ "passes it. Nothing was built. On a shell: dbt build --vars '{as_of: \"2026-01-31T06:00:00+00:00\"}'"
            ) }}
        {%- endif -%}
        timestamptz '{{ given }}'
    {%- endif -%}
{%- endmacro %}
