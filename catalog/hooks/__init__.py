"""The spool of webhooks: request bodies in the catalog's database until they are loaded."""
