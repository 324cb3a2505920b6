"""YAML files as strict data, and their mistakes told with place, line and remedy; not what a file may say."""
