"""Usage that others have kept: each module reads one format, a row at a time."""
