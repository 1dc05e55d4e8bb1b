//! Remedies for programs without a recognised runtime, and for those that make their system calls
//! themselves.

use super::super::facts::{Cause, Claim};
use super::super::remedy::{
    BUSY, DEAD, EDGE, INHERITED, LIMIT, POOL, Remedy, Topic, UNCLOSED, UNREAD, UNWATCHED, Whom,
    code, remedy,
};
use Topic::{Code, ForGood, Now, Root};
use Whom::{Anyone, OwnCalls};

pub(super) const REMEDIES: &[Remedy] = &[
    remedy(
        Code,
        &[BUSY],
        &[Cause::Descriptor],
        Anyone,
        "in the code: give every read, write and connect a deadline, or move it off the thread that accepts",
    )
    .unless(&[Claim::ManyThreads]),
    remedy(
        Code,
        &[BUSY],
        &[Cause::Descriptor, Cause::Nap],
        Anyone,
        "in the code: give every read, write, connect and wait of its threads a deadline, so that one comes free",
    )
    .needing(&[Claim::ManyThreads]),
    remedy(
        Code,
        &[BUSY],
        &[Cause::Nap],
        Anyone,
        "in the code: do not sleep on the thread that accepts; use a timer",
    )
    .needing(&[Claim::SingleThread]),
    remedy(
        Code,
        &[BUSY],
        &[Cause::Computes],
        Anyone,
        "in the code: find what it computes (perf top -p {pid}) and move it off the thread that accepts",
    ),
    remedy(
        Code,
        &[BUSY],
        &[Cause::Lock],
        Anyone,
        "in the code: find what it waits for (a limit, a lock, a full pool) and who holds that",
    ),
    remedy(
        Code,
        &[BUSY],
        &[Cause::Elsewhere],
        Anyone,
        "in the code: let the thread that accepts do nothing else that can block",
    ),
    remedy(
        Code,
        &[BUSY],
        &[Cause::LoopEnded],
        Anyone,
        "in the code: let no exception end the thread of an event loop; log it and go on",
    ),
    remedy(
        Root,
        &[BUSY],
        &[Cause::Kernel],
        Anyone,
        "it waits for the kernel: for a disk, a network file system or a driver that does not answer; dmesg \
         may name it",
    ),
    remedy(
        Now,
        &[BUSY],
        &[Cause::LoopEnded],
        Anyone,
        "right now: restart {name}",
    ),
    remedy(
        Root,
        &[UNWATCHED],
        &[Cause::LeftOut, Cause::NoInput, Cause::SpentOneShot],
        Anyone,
        "find what holds the accepted connections: at a limit some have to end before it accepts again",
    )
    .needing(&[Claim::HasClients]),
    remedy(
        Root,
        &[UNWATCHED],
        &[Cause::Supervisor],
        Anyone,
        "find what the children wait for: one has to end before the next client is accepted",
    )
    .needing(&[Claim::HandsOn]),
    remedy(
        Code,
        &[UNWATCHED],
        &[Cause::Supervisor],
        Anyone,
        "in the code: give each child a time limit, and end those that pass it",
    )
    .needing(&[Claim::HandsOn]),
    remedy(
        Root,
        &[UNWATCHED],
        &[Cause::Supervisor],
        Anyone,
        "find out in the log of {name} why none of its workers accepts",
    )
    .unless(&[Claim::HandsOn]),
    remedy(
        Now,
        &[UNWATCHED],
        &[Cause::Supervisor],
        Anyone,
        "right now: restart {name}; all that wait are reset",
    )
    .unless(&[Claim::HandsOn]),
    remedy(
        Code,
        &[UNWATCHED],
        &[Cause::LeftOut, Cause::NoInput],
        Anyone,
        "in the code: resume listening on every path that ends a connection, errors too",
    ),
    remedy(
        Code,
        &[UNWATCHED],
        &[Cause::SpentOneShot],
        Anyone,
        "in the code: call accept again on every path, errors too",
    ),
    remedy(
        Code,
        &[UNWATCHED],
        &[Cause::SpentOneShot],
        OwnCalls,
        "in the code: re-arm with epoll_ctl(EPOLL_CTL_MOD) after each batch of accepts, on every path, errors \
         too",
    ),
    remedy(
        Now,
        &[UNWATCHED],
        &[Cause::Orphan],
        Anyone,
        "right now: end {name} if the server is gone: the port is free then, and all that wait are reset\n\
         $ kill {pid}",
    ),
    remedy(
        Code,
        &[UNWATCHED],
        &[Cause::Orphan],
        Anyone,
        "in the code: close the listener in every child that does not accept",
    ),
    remedy(
        Code,
        &[UNWATCHED],
        &[Cause::Orphan],
        OwnCalls,
        "in the code: close the listener in every child that does not accept; SOCK_CLOEXEC does that for \
         children that execute another program",
    ),
    code(
        &[EDGE],
        Anyone,
        "in the code: find what the accept loop waits for (a semaphore or a full queue behind a connection \
         limit) and who does not give it back",
    ),
    code(
        &[EDGE],
        OwnCalls,
        "in the code: accept until EAGAIN: `continue`, not `return`, after the close() at the connection limit",
    ),
    code(
        &[EDGE],
        OwnCalls,
        "or register the listener without EPOLLET (level-triggered): it is then reported for as long as \
         somebody waits",
    ),
    remedy(
        Now,
        &[EDGE],
        &[],
        Anyone,
        "right now: wake it without a restart (this prints a plan and changes nothing); restarting {name} \
         resets all that wait\n$ closewait-doctor relieve {where}",
    )
    .unless(&[Claim::RuntimeEdges]),
    remedy(
        Now,
        &[EDGE],
        &[],
        Anyone,
        "right now: end some of the connections that it has accepted, or restart {name}, which resets all that \
         wait",
    )
    .needing(&[Claim::RuntimeEdges]),
    remedy(
        Root,
        &[LIMIT],
        &[],
        Anyone,
        "first find what holds the descriptors; other findings may name a leak\n$ ls -l /proc/{pid}/fd",
    ),
    remedy(
        Now,
        &[UNREAD],
        &[Cause::Halted],
        Anyone,
        "right now: continue or thaw the process, after finding out who stopped it",
    ),
    remedy(
        Code,
        &[UNREAD],
        &[Cause::LeftOut, Cause::NoInput, Cause::SpentOneShot, Cause::LostEdge],
        Anyone,
        "in the code: give every pause in reading a time limit: read on after it, or close the connection",
    ),
    remedy(
        Code,
        &[UNREAD],
        &[Cause::LeftOut],
        OwnCalls,
        "in the code: register every accepted connection at once, and keep it registered for at least \
         EPOLLRDHUP while it waits for a worker; evict pooled connections that were closed",
    )
    .unless(&[Claim::HandsOn]),
    remedy(
        Code,
        &[UNREAD],
        &[Cause::NoInput],
        OwnCalls,
        "in the code: keep EPOLLRDHUP in the mask while reading is paused, and give the pause a deadline",
    ),
    remedy(
        Code,
        &[UNREAD],
        &[Cause::SpentOneShot],
        OwnCalls,
        "in the code: re-arm with epoll_ctl(EPOLL_CTL_MOD) on every path that does not close",
    ),
    remedy(
        Code,
        &[UNREAD],
        &[Cause::LostEdge],
        OwnCalls,
        "in the code: under EPOLLET read until EAGAIN or 0, or re-arm when stopping early",
    ),
    remedy(
        Code,
        &[UNREAD],
        &[Cause::LoopBusy],
        Anyone,
        "in the code: let the event loop do nothing that blocks or takes long: deadlines for every read, write \
         and connect, and other threads for the rest",
    ),
    remedy(
        Code,
        &[UNREAD],
        &[Cause::NoLoop, Cause::NoThread],
        Anyone,
        "in the code: let a thread or an event loop read every connection until it returns 0; give every other \
         wait a deadline",
    ),
    remedy(
        Code,
        &[UNREAD],
        &[Cause::Unclear],
        Anyone,
        "in the code: read every connection until it returns 0, then close it",
    ),
    code(
        &[UNCLOSED],
        Anyone,
        "in the code: close on every path after the end was read, errors and early returns too",
    )
    .needing(&[Claim::EndRead]),
    code(
        &[UNCLOSED],
        OwnCalls,
        "in the code: close() the descriptor on every path after read() returns 0, errors and early returns \
         too",
    )
    .needing(&[Claim::EndRead]),
    code(
        &[UNCLOSED],
        Anyone,
        "in the code: close on every path that ends a connection, errors and early returns too",
    )
    .unless(&[Claim::EndRead]),
    remedy(
        ForGood,
        &[UNCLOSED],
        &[],
        Anyone,
        "no kernel setting ends it: CLOSE_WAIT has no timeout; only the program can close",
    ),
    code(
        &[INHERITED],
        Anyone,
        "in the code: after a fork, close in the parent what the child serves, and in the child what it does \
         not need",
    ),
    code(
        &[INHERITED],
        OwnCalls,
        "in the code: accept with SOCK_CLOEXEC, and close in the child what it does not need",
    )
    .needing(&[Claim::Helper]),
    remedy(
        Now,
        &[INHERITED],
        &[],
        Anyone,
        "right now: if {heir} has no business with it, ending it lets the close of the other take effect",
    )
    .needing(&[Claim::Helper]),
    code(
        &[POOL],
        Anyone,
        "make the pool drop idle connections sooner than the server does (its idle timeout below the server's \
         keep-alive timeout)",
    )
    .unless(&[Claim::Grows]),
    code(
        &[POOL],
        Anyone,
        "in the code: use one client or session for all requests, and close every response and every client \
         on all paths, errors too",
    )
    .needing(&[Claim::Grows]),
    remedy(
        Topic::Look,
        &[POOL],
        &[],
        Anyone,
        "look again with --observe 10s: if their number grows, responses or sessions are not closed on some \
         path",
    )
    .unless(&[Claim::Grows]),
    code(
        &[DEAD],
        Anyone,
        "in the code: close on every way out of a connection, errors first",
    ),
    code(
        &[DEAD],
        OwnCalls,
        "in the code: close on every way out of a connection, errors first: after ECONNRESET, EPOLLERR and \
         EPOLLHUP as well as after an end of stream, and after shutdown",
    ),
    remedy(
        ForGood,
        &[DEAD],
        &[],
        Anyone,
        "only the program can close them, or its restart",
    ),
];
