"""The `sitecrew` command: one module per noun, over `listings` and `checks`; `office` is where they
get what they show, directly or over the HTTP API; all are built on `client` and `output`.

The result goes to stdout; progress, hints, logs and errors go to stderr. Exit codes:
0 done, 1 failed, 2 wrong usage or configuration, 3 broker or API unreachable, 4 store unreachable, 5 not
found, 6 refused or in conflict, 130 interrupted.
"""
