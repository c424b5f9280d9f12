"""Delimited text (CSV, TSV): finding records, splitting at them, parsing them fast and explaining the bad ones."""
