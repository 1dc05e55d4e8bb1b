"""Makes one condition on port 8080, says `there`, and lives on: python3 conditions.py FINDING sick|silent

A silent condition is one that looks like the finding and is not: what is like it stands beside each.
"""

import ctypes
import os
import socket
import struct
import sys
import threading
import time

PORT = ("127.0.0.1", 8080)
BACKEND = ("127.0.0.1", 9000)
LIFETIME = 60
GRACE = 3.5


LISTENERS = []


def listen(address=PORT, backlog=256):
    LISTENERS.append(socket.create_server(address, backlog=backlog))
    return LISTENERS[-1]


def forever(work):
    """A thread that does something until the program ends."""

    def loop():
        try:
            while True:
                work()
        except OSError:
            time.sleep(LIFETIME)

    threading.Thread(target=loop, daemon=True).start()


def child(run):
    """A process of its own, which does not listen here; returns once `run` has."""
    done, tell = os.pipe()
    if os.fork() == 0:
        os.close(done)
        for listener in LISTENERS:
            listener.close()
        kept = run()
        os.write(tell, b"x")
        os.close(tell)
        time.sleep(LIFETIME)
        del kept
        os._exit(0)
    os.close(tell)
    os.read(done, 1)
    os.close(done)


def clients(number, request=b"hello\n", address=PORT):
    connected = [socket.create_connection(address) for _ in range(number)]
    for one in connected:
        one.sendall(request)
    return connected


def accept(listener, number):
    return [listener.accept()[0] for _ in range(number)]


def backend_that_keeps():
    """Another program accepts at the backend's address, and neither answers nor closes."""

    def run():
        listener = listen(BACKEND)
        held = []
        forever(lambda: held.append(listener.accept()[0]))
        return listener, held

    child(run)


def queue(number, backlog):
    """Nobody accepts these: clients that stay."""
    listener = listen(backlog=backlog)
    child(lambda: clients(number))
    return listener


def accept_queue_overflow(sick):
    # The kernel admits one more than the limit. A queue just at its limit drops nobody.
    return queue(5 if sick else 4, backlog=4)


def accept_queue_stranded(sick):
    if sick:
        return queue(4, backlog=64)
    # Silent: just as old clients, and somebody has accepted them. Another user does not see who.
    listener = queue(4, backlog=64)
    return listener, accept(listener, 4)


def accepted_unserved(sick):
    # Silent: as many clients as workers, each asked for what a backend does not answer. Nobody else waits.
    backend_that_keeps()
    listener = listen()
    # One that was told to go and stays: it leads to this process, and is no fault of it.
    child(lambda: clients(1))
    (told_to_go,) = accept(listener, 1)
    told_to_go.recv(100)
    told_to_go.shutdown(socket.SHUT_WR)
    work, ready = [], threading.Semaphore(0)

    def accept_one():
        work.append(listener.accept()[0])
        ready.release()

    def serve():
        ready.acquire()
        client = work.pop(0)
        client.recv(100)
        backend = socket.create_connection(BACKEND)
        backend.sendall(b"ask\n")
        backend.recv(100)
        client.close()

    forever(accept_one)
    for _ in range(2):
        forever(serve)
    child(lambda: clients(5 if sick else 2))
    return listener, told_to_go


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def dead_descriptor(sick):
    # Silent: sockets that never were connections, and a few that a pool would notice.
    listener = listen()
    number = 120 if sick else 15
    connected = clients(number)
    held = accept(listener, number)
    for one in connected:
        reset(one)
    return listener, held, [socket.socket() for _ in range(0 if sick else 120)]


def half_closed_active(sick):
    listener = listen()

    def leave():
        connected = clients(3)
        time.sleep(1)
        for one in connected:
            if sick:
                one.shutdown(socket.SHUT_WR)
                forever(lambda one=one: one.recv(1000) or time.sleep(1))
            else:
                one.recv(100)
                one.close()
        return connected

    starting = threading.Thread(target=child, args=(leave,))
    starting.start()
    held = accept(listener, 3)
    for one in held:
        one.sendall(b"more")
    starting.join()
    for one in held:
        while one.recv(100):
            pass
        if sick:
            forever(lambda one=one: (one.sendall(b"more"), time.sleep(0.02)))
    # Silent: the last that happened is that the server sent; the client has gone, and nothing is sent any more.
    return listener, held


def idle_pool_connection(sick):
    if sick:

        def serve():
            listener = listen()

            def answer():
                one, _ = listener.accept()
                one.recv(100)
                one.close()

            forever(answer)
            return listener

        child(serve)
        return clients(3)
    listener = listen()
    # Silent: no listener is left at the local address either, but these were accepted.
    child(lambda: [one.close() for one in clients(3)])
    held = accept(listener, 3)
    listener.close()
    return held


def inherited_descriptor(sick):
    listener = listen()
    child(lambda: (clients(2), [one.close() for one in clients(2)] and None)[0])
    stay, gone = accept(listener, 2), accept(listener, 2)

    def heir():
        if not sick:
            for one in gone:
                one.close()

    # Silent: what both have is open at both ends, and what has ended one of them has.
    child(heir)
    return listener, stay, gone


def peer_not_closing(sick):
    listener = listen()

    def leave():
        connected = clients(3)
        for one in connected:
            one.shutdown(socket.SHUT_WR)
            if not sick:
                forever(lambda one=one: one.recv(1000) or time.sleep(1))
        gone = clients(3)
        for one in gone:
            one.close()
        return connected

    child(leave)
    held = accept(listener, 6)
    # Silent: what those who ended their direction wait for still comes, and those who left wait for nothing.
    for one in held[:3] if not sick else []:
        forever(lambda one=one: (one.sendall(b"more"), time.sleep(0.1)))
    return listener, held


def relay_pair(sick):
    backend_that_keeps()
    listener = listen()
    # Silent: as many connections to the backend as have ended, and they have nothing to do with them.
    to_backend = [socket.create_connection(BACKEND) for _ in range(3)]
    if not sick:
        for one in to_backend:
            one.sendall(b"a request of its own\n")
        time.sleep(1)
    child(lambda: [one.close() for one in clients(3)])
    held = accept(listener, 3)
    for one in held:
        while one.recv(100):
            pass
    if sick:
        for one in to_backend:
            one.shutdown(socket.SHUT_WR)
    return listener, held, to_backend


def stuck_writer(sick):
    listener = listen()

    def leave():
        connected = socket.create_connection(PORT)
        connected.shutdown(socket.SHUT_WR)
        if not sick:
            # Silent: slow, and still it takes.
            forever(lambda: (connected.recv(8192), time.sleep(0.02)))
        return connected

    child(leave)
    (held,) = accept(listener, 1)
    held.recv(1)
    forever(lambda: held.sendall(b"x" * 4096))
    # The last of it goes out before the window is shut.
    time.sleep(2)
    return listener, held


def unattributed_close_wait(sick):
    listener = listen()
    child(lambda: [one.close() for one in clients(3)])
    if sick:
        held = accept(listener, 3)
        sender, receiver = socket.socketpair()
        socket.send_fds(sender, [b"x"], [one.fileno() for one in held])
        for one in held:
            one.close()
        return listener, sender, receiver
    # Silent: a thread has descriptors of its own, which the process's list does not show.
    accepted = threading.Event()

    def keep_for_itself():
        clone_files = 0x400
        assert ctypes.CDLL(None).unshare(clone_files) == 0
        held = accept(listener, 3)
        accepted.set()
        time.sleep(LIFETIME)
        del held

    threading.Thread(target=keep_for_itself, daemon=True).start()
    accepted.wait()
    return listener


def main():
    finding, kind = sys.argv[1:]
    kept = globals()[finding.replace("-", "_")](kind == "sick")
    time.sleep(GRACE)
    print("there", flush=True)
    time.sleep(LIFETIME)
    del kept


main()
