"""`tailrace doctor`: what usually goes wrong with an installation, each finding with its remedy."""
