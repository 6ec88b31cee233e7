"""The suites that hemf comes with, one YAML file each."""
