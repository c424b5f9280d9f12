"""Plans of pipelines over REST: the plan of a run, its SQL, and a preview on the first rows."""
