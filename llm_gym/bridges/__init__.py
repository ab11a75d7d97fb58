"""Other libraries' environments as ours."""
