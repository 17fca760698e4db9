"""Judging: measures are made by workers, verdicts are pure comparisons with thresholds."""
