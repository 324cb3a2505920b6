{# Schemas are called what the models say (`stg`, `pub`), not `<target>_<schema>` as dbt would have it: readers and
   grants name them. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
