"""The run: moves data as a physical plan says. Knows no Prefect."""
