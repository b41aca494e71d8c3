"""The run: what is missing, who computes it, what is shown meanwhile."""
