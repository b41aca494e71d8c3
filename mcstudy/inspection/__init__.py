"""A folder of results, looked at: how far it is, what failed, one replicate again, its measures."""
