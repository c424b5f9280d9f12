"""Scalar SQL expressions over one row: read into a tree, checked, written again."""
