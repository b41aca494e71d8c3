"""Replicates from anywhere, of mcstudy or not, to measures."""
