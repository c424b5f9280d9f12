"""The compilers of nodes that do not consist of ops."""
