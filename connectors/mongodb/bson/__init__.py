"""BSON (bsonspec.org, version 1.1) decoded by columns: no loop over documents or values except the one that finds where
documents begin. It keeps what a dict cannot hold: duplicate keys, and text that is not UTF-8."""
