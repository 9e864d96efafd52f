"""Sign in as one of your users, from the Django admin, on the record."""
