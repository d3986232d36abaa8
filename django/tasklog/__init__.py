"""Django's side of tasklog: the runs in the admin, and a client for the code that logs."""
