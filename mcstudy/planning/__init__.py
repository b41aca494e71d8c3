"""Before the long run: what is wrong with a study, what it will cost, how precise it will be."""
