"""What goes wrong with a model server, as errors that a user understands."""
