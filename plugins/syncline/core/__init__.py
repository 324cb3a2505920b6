"""The pure heart: values, manifests, mappings and how a mapping becomes one SELECT. No I/O but reading YAML."""
