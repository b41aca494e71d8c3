"""Tables of measures to answers: methods, runs, failures and factors against each other."""
