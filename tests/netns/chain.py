# Servers on port 8080 that are stuck at the first of a chain of waits. The argument names the chain. Prints `ready`
# once everything waits but the server itself, which waits as soon as it has a client.
import ctypes, fcntl, os, resource, signal, socket, subprocess, sys, tempfile, threading, time

libc = ctypes.CDLL(None, use_errno=True)
folder = tempfile.mkdtemp()
kept = []


def listen(port):
    return socket.create_server(("127.0.0.1", port), backlog=100)


def fork(run):
    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(0)
    return pid


def thread(run):
    one = threading.Thread(target=run, daemon=True)
    one.start()
    return one


def mute_service(port):
    """Another process that accepts and never answers."""
    listener = listen(port)
    held = []

    def run():
        while True:
            held.append(listener.accept())

    fork(run)
    listener.close()


def ask(port=9000):
    """Asks a service and waits for its answer."""
    service = socket.create_connection(("127.0.0.1", port))
    service.sendall(b"question\n")
    service.recv(100)


def until(condition):
    while not condition():
        time.sleep(0.01)


def is_in(pid, call):
    """Whether a thread of a process sleeps in this system call."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/syscall") as file:
            if file.read().split()[0] == str(call):
                return True
    return False


RECVFROM, WRITE, FUTEX = 45, 1, 202


class Mutex:
    """A mutex of the C library, which stores its owner."""

    def __init__(self):
        self.memory = ctypes.create_string_buffer(64)
        libc.pthread_mutex_init(self.memory, None)

    def lock(self):
        libc.pthread_mutex_lock(self.memory)


def mutex_to_service():
    mute_service(9000)
    mutex = Mutex()

    def hold():
        mutex.lock()
        ask()

    thread(hold)
    until(lambda: is_in(os.getpid(), RECVFROM))
    return mutex.lock


def file_lock_to_service():
    mute_service(9000)
    path = f"{folder}/lock"

    def hold():
        file = open(path, "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        ask()

    holder = fork(hold)
    until(lambda: is_in(holder, RECVFROM))
    return lambda: fcntl.flock(open(path, "w"), fcntl.LOCK_EX)


def join_to_service():
    mute_service(9000)
    # Those that Python starts are detached.
    run = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: ask())
    kept.append(run)
    thread_id = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(thread_id), None, run, None)
    until(lambda: is_in(os.getpid(), RECVFROM))
    return lambda: libc.pthread_join(thread_id, None)


def child_to_service():
    mute_service(9000)

    def run():
        child = fork(ask)
        os.waitpid(child, 0)

    return run


def vfork_to_service():
    mute_service(9000)
    clone, vfork_without_sharing = 56, 0x4000 | signal.SIGCHLD

    def run():
        if libc.syscall(clone, vfork_without_sharing, 0, 0, 0, 0) == 0:
            ask()

    return run


def local_service_to_service():
    mute_service(9000)
    relay = listen(9001)

    def serve():
        client, _ = relay.accept()
        client.recv(100)
        ask()

    fork(serve)
    relay.close()
    return lambda: ask(9001)


def output_to_service():
    mute_service(9000)
    code = "import socket; s = socket.create_connection(('127.0.0.1', 9000)); s.sendall(b'q'); s.recv(9)"
    time.sleep(0.2)
    return lambda: subprocess.check_output([sys.executable, "-c", code])


def fill(end):
    os.set_blocking(end, False)
    try:
        while True:
            os.write(end, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(end, True)


def pipe_to_stopped():
    reads, writes = os.pipe()
    fill(writes)
    reader = fork(signal.pause)
    os.close(reads)
    os.kill(reader, signal.SIGSTOP)
    return lambda: os.write(writes, b"line\n")


def fifo_without_other_end():
    path = f"{folder}/fifo"
    os.mkfifo(path)
    return lambda: open(path)


def fifo_to_stopped():
    path = f"{folder}/fifo"
    os.mkfifo(path)
    writer = fork(lambda: (os.open(path, os.O_RDWR), signal.pause()))
    until(lambda: any(os.readlink(f"/proc/{writer}/fd/{fd}") == path for fd in os.listdir(f"/proc/{writer}/fd")))
    end = os.open(path, os.O_RDWR)
    os.close(end)
    end = os.open(path, os.O_WRONLY)
    fill(end)
    os.kill(writer, signal.SIGSTOP)
    return lambda: os.write(end, b"line\n")


def unix_socket_to_stopped():
    ours, theirs = socket.socketpair()
    other = fork(signal.pause)
    theirs.close()
    os.kill(other, signal.SIGSTOP)
    return lambda: (ours.send(b"question\n"), ours.recv(100))


def unix_socket_not_accepted():
    path = f"{folder}/socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(5)
    other = fork(signal.pause)
    listener.close()
    os.kill(other, signal.SIGSTOP)

    def run():
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        client.send(b"question\n")
        client.recv(100)

    return run


def name_server_silent():
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 53))
    other = fork(signal.pause)
    silent.close()
    os.kill(other, signal.SIGSTOP)

    def run():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", 53))
        client.send(b"question")
        client.recv(100)

    return run


def two_mutexes():
    one, two = Mutex(), Mutex()

    def other():
        two.lock()
        one.lock()

    one.lock()
    thread(other)
    until(lambda: is_in(os.getpid(), FUTEX))
    return two.lock


def two_pipes():
    (their_reads, our_writes), (our_reads, their_writes) = os.pipe(), os.pipe()
    fill(our_writes)
    fill(their_writes)
    other = fork(lambda: (os.close(our_writes), os.close(our_reads), os.write(their_writes, b"x" * 4096)))
    os.close(their_reads)
    os.close(their_writes)
    until(lambda: is_in(other, WRITE))
    return lambda: os.write(our_writes, b"x" * 4096)


def two_services():
    other = listen(9001)

    def serve():
        client, _ = other.accept()
        client.recv(100)
        ask(8080)

    fork(serve)
    other.close()
    return lambda: ask(9001)


def no_thread_left():
    mutex = threading.Lock()
    mutex.acquire()
    return mutex.acquire


def crowded_lock_table():
    """Another process has 50,000 locks, on a thousand ranges of fifty files."""
    def hold():
        files = [open(f"{folder}/{number}", "w") for number in range(50)]
        for file in files:
            for start in range(1000):
                fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * start)
        open(f"{folder}/held", "w").close()
        signal.pause()

    fork(hold)
    until(lambda: os.path.exists(f"{folder}/held"))
    return file_lock_to_service()


def ten_thousand_pipes():
    """Four processes share ten thousand pipes, or as many as they may have, and each reads from one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pipes = [os.pipe() for _ in range(min(10000, most // 2 - 50))]
    for number in range(1, 4):
        fork(lambda: os.read(pipes[number][0], 1))
    return lambda: os.read(pipes[0][0], 1)


def poll_set_that_changes():
    """A thread polls, and another one writes over the array that was passed to the kernel."""
    class PollFd(ctypes.Structure):
        _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]

    reads, _ = os.pipe()
    array = (PollFd * 3000)(*[PollFd(reads, 1, 0) for _ in range(3000)])

    def overwrite():
        while True:
            for one in array:
                one.fd = os.urandom(1)[0] * 9999999 - 7
                one.events = one.fd & 0x7FFF

    def run():
        thread(overwrite)
        libc.poll(array, 3000, -1)

    return run


def file_with_escapes_in_its_name():
    path = f"{folder}/\x1b[31mred\nCRITICAL  nothing"

    def hold():
        file = open(path, "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        signal.pause()

    holder = fork(hold)
    until(lambda: is_in(holder, 34))
    return lambda: fcntl.flock(open(path, "w"), fcntl.LOCK_EX)


def main():
    block = globals()[sys.argv[1]]()
    listener = listen(8080)
    print("ready", flush=True)
    client, _ = listener.accept()
    client.recv(100)
    block()
    time.sleep(600)


main()
