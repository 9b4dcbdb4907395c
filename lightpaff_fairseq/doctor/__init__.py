"""What is installed here, what of it is used, and what is wrong with it."""
