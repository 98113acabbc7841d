"""Reports: one question about usage, one statement, one answer, for everyone who asks."""
