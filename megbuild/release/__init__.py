"""Bundles: what is handed to others, where it comes from, and how anybody can tell that it is what it says."""
