{# A length of time in hours, to the hundredth. #}
{% macro hours(length) -%}
    round((extract(epoch from {{ length }}) / 3600)::numeric, 2)
{%- endmacro %}

{# Share of the rows of `among` in which `what` holds; null where there is none: no share of nothing is 1, or 0. #}
{% macro share(what, among) -%}
    (count(*) filter (where {{ what }}))::double precision / nullif(count(*) filter (where {{ among }}), 0)
{%- endmacro %}
