"""What programs may expect of files, checked on a directory: one line of JSON for each check.

usage: suite.py EXPORT NAME [CHECK...]

EXPORT is the mounted directory that prepare.py has filled, from wherever it is seen. Each check works in
EXPORT/NAME/<check>, in a process of its own, and leaves its files there: the caller looks at them from the other side.
A line has the check's name, `error` (null when all was as it should be), and `tells`: what was seen where more than one
answer is right; `ms` is what it took.
"""

import json, os, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'checks'))
sys.dont_write_bytecode = True

import support
import contents, removal, names, directories, metadata, mapping, locks, limits, rights  # each adds to support.checks


def main():
    export, name, *wanted = sys.argv[1:]
    home = os.path.join(os.path.realpath(export), name)
    os.makedirs(home, exist_ok=True)
    for check in wanted or [name for name in support.checks if name not in support.on_demand]:
        begun = time.monotonic()
        tells, error = support.run(check, os.path.dirname(home), home)
        print(json.dumps({'check': check, 'tells': tells, 'error': error, 'ms': round(1000 * (time.monotonic() - begun))}), flush=True)


main()
