"""One file for each revision of the database, in their order."""
