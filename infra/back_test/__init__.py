"""Back-tests: a month's facts as the books keep them (`opening`, `history`), played under assumptions (`scenario`)."""
