"""Applied sets over REST: the objects that a set of files owns (`headrace apply`)."""
