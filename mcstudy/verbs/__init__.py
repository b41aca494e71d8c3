"""The verbs of the command line: each one reads its options and calls one function."""
