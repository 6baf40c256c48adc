"""The table that a bench prints: a row for each figure, with its limit and whether that was reached."""

import contextlib
import sys


def report(server, measure):
    """Starts `server`, has `measure()` give rows of what, figure, limit and whether it was reached (None: nothing was
    promised), adds how the server ended, prints all, and exits with 1 where a limit wasn't reached."""
    server.start()
    try:
        rows = measure()
    finally:
        with contextlib.suppress(AssertionError):
            server.stop()
    panics = server.log.count("panicked")
    rows.append(("panics in the log, and the exit code", f"{panics}, {server.exit_code}", "0, 0", panics == server.exit_code == 0))
    print("\n| | measured | at most | reached |\n|---|---|---|---|")
    for what, figure, limit, good in rows:
        print(f"| {what} | {figure} | {limit} | {'' if good is None else 'yes' if good else 'NO'} |")
    sys.exit(any(good is False for *_, good in rows))
