"""Dropping a fold and replaying it from the log, to the same bytes."""
