"""BSON (bsonspec.org, version 1.1) decoded by columns: no loop over documents or values but the one that finds where
documents begin. It keeps what a dict has no place for: keys that are there twice, and text that is not UTF-8."""
