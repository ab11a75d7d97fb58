"""Policies: whatever turns an observation into a reply."""
