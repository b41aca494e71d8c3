"""One HTML page that shows a study: findings, figures, tables, failures, protocol."""
