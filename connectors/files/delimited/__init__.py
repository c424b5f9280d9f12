"""Delimited text (CSV, TSV): finds records, splits files at them, parses them, and explains bad ones."""
