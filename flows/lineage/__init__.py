"""Lineage of columns: from which columns of its sources each column of a target is made, and by which steps."""
