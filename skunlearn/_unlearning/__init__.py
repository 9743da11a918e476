"""One request, from what a user passes in to the certificate."""
