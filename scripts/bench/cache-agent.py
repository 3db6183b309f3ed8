# Runs in the guest, one for each cache mode: reads the name of a piece of work and the passes (cold, warm, both) per
# line, and answers "NAME COLD WARM CHECK", microseconds of each pass, "-" for one that was not wanted.
# Arguments: a directory of the files, the path of node.
import os, subprocess, sys, time

data, node = sys.argv[1:]
# as people work: the shorter a path, the fewer names the kernel looks up again and again
os.chdir(data)
MEBIBYTE = 1 << 20


def start_node():
    return subprocess.check_output([node, "--version"], text=True).strip()


def start_python():
    script = "import asyncio, json, email; print('started')"
    return subprocess.check_output(["python3", "-I", "-c", script], text=True).strip()


def find():
    count = 0
    for directory, _, names in os.walk("tree"):
        for name in names:
            os.lstat(os.path.join(directory, name))
            count += 1
    return count


def tar():
    size = 0
    for directory, _, names in os.walk("tree"):
        for name in names:
            path = os.path.join(directory, name)
            os.lstat(path)
            with open(path, "rb", buffering=0) as file:
                while block := file.read(10240):
                    size += len(block)
    return size


def git():
    command = ["git", "-c", "safe.directory=*", "--no-optional-locks", "-C", "tree", "status", "--porcelain"]
    return len(subprocess.check_output(command))


def read():
    size = 0
    with open("big", "rb", buffering=0) as file:
        while block := file.read(MEBIBYTE):
            size += len(block)
    return size


def write():
    size = os.stat("big").st_size
    with open("written", "wb", buffering=0) as file:
        for _ in range(size // MEBIBYTE):
            file.write(bytes(MEBIBYTE))
        os.fsync(file.fileno())
    return size


def write_small():
    with open("written", "wb", buffering=0) as file:
        for _ in range(256):
            file.write(bytes(4096))
    return 256


def drop():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


WORKS = {
    "node": start_node,
    "python": start_python,
    "find": find,
    "tar": tar,
    "git": git,
    "read": read,
    "write": write,
    "write-4k": write_small,
}

print("ready", flush=True)
for line in sys.stdin:
    name, passes = line.split()
    times = ["-", "-"]
    for index, pass_name in enumerate(["cold", "warm"]):
        if passes not in (pass_name, "both"):
            continue
        if pass_name == "cold":
            drop()
        begin = time.monotonic_ns()
        check = WORKS[name]()
        times[index] = (time.monotonic_ns() - begin) // 1000
    print(name, *times, check, flush=True)
