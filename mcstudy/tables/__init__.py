"""Measures to text: tables for a terminal, a paper or a notebook."""
