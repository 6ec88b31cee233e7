"""The recipes that hemf comes with, one YAML file each."""
