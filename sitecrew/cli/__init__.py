"""The `sitecrew` command, a module for each noun. Nouns stand on listings and checks, those on the client and output.

What a command was asked for goes to stdout; progress, hints, logs and errors go to stderr. Exit codes:
0 done, 1 failed, 2 wrong usage or configuration, 3 broker unreachable, 4 store unreachable, 5 not
found, 6 refused or in conflict, 130 interrupted.
"""
