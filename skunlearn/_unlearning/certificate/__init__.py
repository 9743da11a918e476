"""A record of deletions that an auditor can verify."""
