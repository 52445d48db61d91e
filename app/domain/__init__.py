"""What a price is and what a slot is, in the standard library alone."""
