"""`/replications`: many tables of one connection, each copied by a pipeline of its own."""
