"""The commands that talk to a facade over REST, from wherever its address and a key are known."""
