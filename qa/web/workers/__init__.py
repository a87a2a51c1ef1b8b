"""Several worker processes that serve over one listening socket, as if they were one.

supervisor   the parent process: starts workers, replaces those that die, and ends them
default      how many workers there are where nobody says it
board        what the workers of a server know of each other, in files of one folder
accepting    which worker takes a new connection
forwarding   requests that only the first worker answers
rates        one count of each client's requests
metrics      the metrics of all workers together
"""
