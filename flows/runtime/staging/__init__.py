"""The places that can hold the files stages send each other: a folder, or an object store."""
