"""The rules that the grammar adds to CommonMark, one module each."""
