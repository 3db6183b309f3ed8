"""What checks are written with, and how one is run: in a process, a directory and with a time limit of its own."""

import errno, json, os, signal, sys, traceback

LIMIT_SECONDS = 150

checks = {}
#: The prepared directory; set before a check runs.
export = None


#: Those that are run only when they are asked for by name.
on_demand = set()


def check(function):
    checks[function.__name__] = function
    return function


def check_on_demand(function):
    on_demand.add(function.__name__)
    return check(function)


def run(name, prepared, home):
    """Runs one check; what it tells, and what went wrong or None."""
    global export
    export = prepared
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setsid()
        outcome = (None, None)
        try:
            directory = f'{home}/{name}'
            os.makedirs(directory, exist_ok=True)
            os.chdir(directory)
            os.umask(0o022)
            signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError('no end')))
            signal.alarm(LIMIT_SECONDS)
            outcome = (checks[name](), None)
        except BaseException:
            outcome = (None, where_it_failed())
        os.write(writer, json.dumps(outcome).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, 'rb') as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(told) if told else (None, f'ended with {status}')


def where_it_failed():
    kind, error, trace = sys.exc_info()
    frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.endswith('support.py')]
    last = frames[-1] if frames else traceback.extract_tb(trace)[-1]
    return f'{os.path.basename(last.filename)}:{last.lineno}: {last.line}: {kind.__name__}: {error}'[:500]


def number_of(function, *arguments, **named):
    """The name of the error that a call ends with, or None."""
    try:
        function(*arguments, **named)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def fails(number, function, *arguments, **named):
    """The call fails with that error, or one of several."""
    numbers = number if isinstance(number, tuple) else (number,)
    expected = ' or '.join(errno.errorcode[n] for n in numbers)
    try:
        function(*arguments, **named)
    except OSError as error:
        assert error.errno in numbers, f'{errno.errorcode[error.errno]} instead of {expected}'
    else:
        raise AssertionError(f'no {expected}')


def write(path, data, flags=os.O_CREAT | os.O_TRUNC, mode=0o666):
    fd = os.open(path, os.O_WRONLY | flags, mode)
    assert os.write(fd, data) == len(data)
    os.close(fd)


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def equal(actual, expected):
    assert actual == expected, f'{actual!r:.300} instead of {expected!r:.300}'


def in_child(function):
    """Runs it in a process of its own; what it returns becomes the exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = function() or 0
        except BaseException:
            print(where_it_failed(), file=sys.stderr)
        finally:
            os._exit(code)
    return pid


def exit_code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kernel():
    return tuple(map(int, os.uname().release.split('.')[:2]))
