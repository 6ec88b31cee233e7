"""What everything else stands on: errors, whole files, tables, devices, registries."""
