"""Connectors that come with Headrace as documents: `github.yaml` is read by `yaml:github` and is the type `github`."""
