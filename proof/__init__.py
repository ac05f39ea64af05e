"""What goes beyond the assignment: the proofs that trained networks add."""
