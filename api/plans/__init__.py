"""What a run of a pipeline would do, over REST: its plan, its SQL, a preview on the first rows."""
