"""Programs that try to get out of a sandbox; what came of it is judged on the host."""
