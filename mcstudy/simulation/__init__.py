"""One job to its rows: simulate, fit by every method, catch what happens."""
