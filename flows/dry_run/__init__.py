"""Plans and previews of runs. No row is loaded."""
