"""Changes on their way to the database, and reads that include them."""
