"""`headrace apply` and `headrace export`: compare files with a tenant and make the changes."""
