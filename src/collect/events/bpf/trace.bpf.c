// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* What `trace` sees: accepts, waits, first reads and writes, and changes of state of TCP sockets, as they happen.
 *
 * Three tracepoints with type information, because fentry and kprobes are refused on some kernels. `record.rs` decodes
 * `struct event`; both have to change together. */
#include "kernel_types.h"

enum { AF_INET = 2, AF_INET6 = 10, PROTOCOL_TCP = 6 };
enum { ESTABLISHED = 1, FIN_WAIT1 = 4, CLOSE = 7, CLOSE_WAIT = 8, LAST_ACK = 9, LISTEN = 10, SYN_RECV = 3 };
enum { IS_SOCKET = 0140000, FILE_TYPE = 0170000 };
enum { TASK_EXITS = 4 /* PF_EXITING */, TASK_IS_32_BIT = 2 /* TS_COMPAT */ };

/* System calls of x86-64. */
enum {
	NR_read = 0, NR_write = 1, NR_close = 3, NR_poll = 7, NR_readv = 19, NR_writev = 20, NR_select = 23,
	NR_accept = 43, NR_sendto = 44, NR_recvfrom = 45, NR_sendmsg = 46, NR_recvmsg = 47, NR_shutdown = 48,
	NR_epoll_wait = 232, NR_pselect6 = 270, NR_ppoll = 271, NR_epoll_pwait = 281, NR_accept4 = 288,
	NR_epoll_pwait2 = 441,
};

enum kind { ACCEPT = 1, WAIT = 2, STATE = 3, READ_FIRST = 4, READ_END = 5, WRITE_FIRST = 6 };
enum { BY_PROCESS = 1, EXITING = 2 };

/* A process may have more listeners in scope; only so many of its queues are read when it waits. */
#define QUEUES 4

struct event {
	u64 at_ns;       /* CLOCK_MONOTONIC */
	u64 sock;        /* of the connection; of the listener where it is about no connection */
	s64 result;      /* of the system call; of WAIT its time limit in ms, -1 for none, -2 for unknown */
	u64 slept_ns;    /* WAIT: how long the call before this one lasted */
	u32 pid, tid;
	u32 netns;
	s32 fd;          /* of the listener, of the connection */
	s32 wait_fd;     /* WAIT: the epoll set, -1 for none */
	s32 woke;        /* WAIT: what the call before this one returned */
	u32 call;        /* number of the system call */
	u32 queue, limit;
	u16 family, local_port, remote_port;
	u8 kind, flags, old_state, new_state;
	u8 local[16], remote[16];
	char comm[16];
	u16 padding;
};

/* A process whose waits count, and the listeners in scope that it has. */
struct watched {
	s32 fds[QUEUES];
	u32 count;
	u32 padding;
};

/* The last wait of a thread. */
struct wait {
	u64 since_ns;
	u64 slept_ns;
	s64 returned;
};

/* What to follow. Set before the program is loaded. */
const volatile u64 ports[1024] = {};
const volatile u32 either_end = 0;
const volatile u32 only_netns = 0;
const volatile u32 only_watched = 0;

struct {
	FIELD_NUMBER(type, BPF_MAP_TYPE_RINGBUF);
	FIELD_NUMBER(max_entries, 8 * 1024 * 1024);
} events SEC(".maps");

/* How many events found no room. */
struct {
	FIELD_NUMBER(type, BPF_MAP_TYPE_ARRAY);
	FIELD_NUMBER(max_entries, 1);
	FIELD_TYPE(key, u32);
	FIELD_TYPE(value, u64);
} lost SEC(".maps");

struct {
	FIELD_NUMBER(type, BPF_MAP_TYPE_HASH);
	FIELD_NUMBER(max_entries, 8192);
	FIELD_TYPE(key, u32);
	FIELD_TYPE(value, struct watched);
} processes SEC(".maps");

struct {
	FIELD_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	FIELD_NUMBER(max_entries, 16384);
	FIELD_TYPE(key, u32);
	FIELD_TYPE(value, struct wait);
} waits SEC(".maps");

/* The socket that a thread is about to close. */
struct {
	FIELD_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	FIELD_NUMBER(max_entries, 16384);
	FIELD_TYPE(key, u32);
	FIELD_TYPE(value, u64);
} closing SEC(".maps");

/* Which first events of a connection were seen: a bit for each kind. */
struct {
	FIELD_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	FIELD_NUMBER(max_entries, 65536);
	FIELD_TYPE(key, u64);
	FIELD_TYPE(value, u32);
} seen SEC(".maps");

INLINE int has_port(u16 port)
{
	return (ports[(port >> 6) & 1023] >> (port & 63)) & 1;
}

INLINE u16 swapped(u16 port)
{
	return (u16)(port << 8 | port >> 8);
}

INLINE u32 netns_of(struct sock *sk)
{
	struct net *net = 0;
	u32 number = 0;
	READ(net, sk->__sk_common.skc_net.net);
	READ(number, net->ns.inum);
	return number;
}

INLINE u16 local_port_of(struct sock *sk)
{
	u16 port = 0;
	READ(port, sk->__sk_common.skc_num);
	if (port)
		return port;
	/* Cleared when the socket leaves the tables; this copy stays. */
	READ(port, ((struct inet_sock *)sk)->inet_sport);
	return swapped(port);
}

/* Returns whether a socket belongs to what is followed. */
INLINE int is_followed(struct sock *sk)
{
	u16 family = 0, remote = 0;
	READ(family, sk->__sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (only_netns && netns_of(sk) != only_netns)
		return 0;
	u64 key = (u64)sk;
	if (bpf_map_lookup_elem(&seen, &key))
		return 1;
	if (has_port(local_port_of(sk)))
		return 1;
	if (!either_end)
		return 0;
	READ(remote, sk->__sk_common.skc_dport);
	return has_port(swapped(remote));
}

/* The TCP socket that a descriptor of the current process is, or nothing. */
INLINE struct sock *tcp_socket(struct task_struct *task, s32 fd)
{
	struct files_struct *files = 0;
	struct fdtable *table = 0;
	struct file **slots = 0, *file = 0;
	struct inode *inode = 0;
	struct socket *socket = 0;
	struct sock *sk = 0;
	u32 size = 0;
	u16 mode = 0, protocol = 0;

	if (fd < 0)
		return 0;
	READ(files, task->files);
	READ(table, files->fdt);
	READ(size, table->max_fds);
	if ((u32)fd >= size)
		return 0;
	READ(slots, table->fd);
	bpf_probe_read_kernel(&file, sizeof(file), slots + (u32)fd);
	if (!file)
		return 0;
	READ(inode, file->f_inode);
	READ(mode, inode->i_mode);
	if ((mode & FILE_TYPE) != IS_SOCKET)
		return 0;
	READ(socket, file->private_data);
	READ(sk, socket->sk);
	if (!sk)
		return 0;
	READ(protocol, sk->sk_protocol);
	return protocol == PROTOCOL_TCP ? sk : 0;
}

INLINE u8 state_of(struct sock *sk)
{
	u8 state = 0;
	READ(state, sk->__sk_common.skc_state);
	return state;
}

INLINE int runs_32_bit(struct task_struct *task)
{
	u32 status = 0;
	READ(status, task->thread_info.status);
	return status & TASK_IS_32_BIT;
}

INLINE struct event *begin(u8 kind)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		u32 first = 0;
		u64 *count = bpf_map_lookup_elem(&lost, &first);
		if (count)
			__sync_fetch_and_add(count, 1);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	u64 ids = bpf_get_current_pid_tgid();
	event->at_ns = bpf_ktime_get_ns();
	event->pid = ids >> 32;
	event->tid = (u32)ids;
	event->kind = kind;
	event->fd = event->wait_fd = -1;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	return event;
}

INLINE void name_ends(struct event *event, struct sock *sk)
{
	u16 remote = 0;
	READ(event->family, sk->__sk_common.skc_family);
	READ(remote, sk->__sk_common.skc_dport);
	event->netns = netns_of(sk);
	event->local_port = local_port_of(sk);
	event->remote_port = swapped(remote);
	if (event->family == AF_INET) {
		bpf_probe_read_kernel(event->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_probe_read_kernel(event->remote, 4, &sk->__sk_common.skc_daddr);
	} else {
		bpf_probe_read_kernel(event->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_probe_read_kernel(event->remote, 16, &sk->__sk_common.skc_v6_daddr);
	}
}

INLINE void read_queue(struct event *event, struct sock *listener)
{
	READ(event->queue, listener->sk_ack_backlog);
	READ(event->limit, listener->sk_max_ack_backlog);
}

INLINE void finish(struct event *event)
{
	/* A wake-up an event doubles the cost of a connection; the reader looks by itself. */
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Remembers that a process has this listener. */
INLINE void watch(u32 pid, s32 fd)
{
	struct watched *known = bpf_map_lookup_elem(&processes, &pid);
	if (!known) {
		struct watched first = { .fds = { fd, -1, -1, -1 }, .count = 1 };
		bpf_map_update_elem(&processes, &pid, &first, BPF_ANY);
		return;
	}
#pragma unroll
	for (u32 at = 0; at < QUEUES; at++)
		if (known->fds[at] == fd)
			return;
	u32 next = known->count;
	if (next >= QUEUES)
		return;
	known->fds[next] = fd;
	known->count = next + 1;
}

INLINE int is_wait(u32 call)
{
	switch (call) {
	case NR_epoll_wait:
	case NR_epoll_pwait:
	case NR_epoll_pwait2:
	case NR_poll:
	case NR_ppoll:
	case NR_select:
	case NR_pselect6:
		return 1;
	}
	return 0;
}

INLINE s64 time_limit(u32 call, struct pt_regs *regs)
{
	unsigned long limit = 0;
	switch (call) {
	case NR_epoll_wait:
	case NR_epoll_pwait:
		READ(limit, regs->r10);
		return (s32)limit;
	case NR_poll:
		READ(limit, regs->dx);
		return (s32)limit;
	}
	return -2;
}

/* A thread waits: how long are the queues of its listeners? */
INLINE void enter_wait(struct task_struct *task, struct pt_regs *regs, u32 call)
{
	u64 ids = bpf_get_current_pid_tgid();
	u32 pid = ids >> 32, tid = (u32)ids;
	struct watched *process = bpf_map_lookup_elem(&processes, &pid);
	if (!process)
		return;
	struct wait now = {}, *before = bpf_map_lookup_elem(&waits, &tid);
	if (before)
		now = *before;
	unsigned long first = 0;
	READ(first, regs->di);
	int is_epoll = call == NR_epoll_wait || call == NR_epoll_pwait || call == NR_epoll_pwait2;
	for (u32 at = 0; at < QUEUES; at++) {
		s32 fd = process->fds[at];
		struct sock *listener = tcp_socket(task, fd);
		if (!listener || state_of(listener) != LISTEN || !is_followed(listener))
			continue;
		struct event *event = begin(WAIT);
		if (!event)
			break;
		event->sock = (u64)listener;
		event->fd = fd;
		event->call = call;
		event->wait_fd = is_epoll ? (s32)first : -1;
		event->result = time_limit(call, regs);
		event->woke = (s32)now.returned;
		event->slept_ns = now.slept_ns;
		name_ends(event, listener);
		read_queue(event, listener);
		finish(event);
	}
	now.since_ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&waits, &tid, &now, BPF_ANY);
}

INLINE void exit_wait(s64 result)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct wait *wait = bpf_map_lookup_elem(&waits, &tid);
	if (!wait)
		return;
	wait->slept_ns = bpf_ktime_get_ns() - wait->since_ns;
	wait->returned = result;
}

/* A thread has called accept. */
INLINE void exit_accept(struct task_struct *task, struct pt_regs *regs, u32 call, s64 result)
{
	unsigned long number = 0;
	READ(number, regs->di);
	s32 fd = (s32)number;
	struct sock *listener = tcp_socket(task, fd);
	if (!listener || !is_followed(listener))
		return;
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct sock *child = result >= 0 ? tcp_socket(task, (s32)result) : 0;
	if (only_watched && !bpf_map_lookup_elem(&processes, &pid))
		return;
	watch(pid, fd);
	if (child) {
		u64 key = (u64)child;
		u32 none = 0;
		bpf_map_update_elem(&seen, &key, &none, BPF_ANY);
	}
	struct event *event = begin(ACCEPT);
	if (!event)
		return;
	event->sock = child ? (u64)child : (u64)listener;
	event->fd = fd;
	event->call = call;
	event->result = result;
	name_ends(event, child ? child : listener);
	if (!event->local_port)
		event->local_port = local_port_of(listener);
	read_queue(event, listener);
	finish(event);
}

/* A thread has read from or written to a connection: only the first of each, and the end of the stream, are told. */
INLINE void exit_transfer(struct task_struct *task, struct pt_regs *regs, u32 call, s64 result, int reads)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	if (result < 0 || !bpf_map_lookup_elem(&processes, &pid))
		return;
	unsigned long number = 0;
	READ(number, regs->di);
	struct sock *sk = tcp_socket(task, (s32)number);
	if (!sk || !is_followed(sk))
		return;
	u8 kind = !reads ? WRITE_FIRST : result == 0 ? READ_END : READ_FIRST;
	u64 key = (u64)sk;
	u32 *known = bpf_map_lookup_elem(&seen, &key), kinds = known ? *known : 0;
	if (kinds & (1 << kind))
		return;
	kinds |= 1 << kind;
	bpf_map_update_elem(&seen, &key, &kinds, BPF_ANY);
	struct event *event = begin(kind);
	if (!event)
		return;
	event->sock = key;
	event->fd = (s32)number;
	event->call = call;
	event->result = result;
	name_ends(event, sk);
	finish(event);
}

/* Remembers what a thread is about to close, so that the change of state is known to be its doing. */
INLINE void enter_close(struct task_struct *task, struct pt_regs *regs)
{
	u64 ids = bpf_get_current_pid_tgid();
	u32 pid = ids >> 32, tid = (u32)ids;
	if (!bpf_map_lookup_elem(&processes, &pid))
		return;
	unsigned long number = 0;
	READ(number, regs->di);
	u64 sk = (u64)tcp_socket(task, (s32)number);
	bpf_map_update_elem(&closing, &tid, &sk, BPF_ANY);
}

SEC("tp_btf/sys_enter")
int enter(u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	u32 call = (u32)ctx[1];
	int waits = is_wait(call);
	if (!waits && call != NR_close && call != NR_shutdown)
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	if (runs_32_bit(task))
		return 0;
	if (waits)
		enter_wait(task, regs, call);
	else
		enter_close(task, regs);
	return 0;
}

SEC("tp_btf/sys_exit")
int leave(u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	s64 result = (s64)ctx[1];
	unsigned long call = 0;
	READ(call, regs->orig_ax);
	struct task_struct *task = bpf_get_current_task_btf();
	switch ((u32)call) {
	case NR_accept:
	case NR_accept4:
		if (!runs_32_bit(task))
			exit_accept(task, regs, (u32)call, result);
		return 0;
	case NR_read:
	case NR_readv:
	case NR_recvfrom:
	case NR_recvmsg:
		if (!runs_32_bit(task))
			exit_transfer(task, regs, (u32)call, result, 1);
		return 0;
	case NR_write:
	case NR_writev:
	case NR_sendto:
	case NR_sendmsg:
		if (!runs_32_bit(task))
			exit_transfer(task, regs, (u32)call, result, 0);
		return 0;
	}
	if (is_wait((u32)call) && !runs_32_bit(task))
		exit_wait(result);
	return 0;
}

/* Returns whether the current task causes this change. A change in a soft interrupt runs on whichever task is current. */
INLINE int is_by_process(struct sock *sk, u8 from, u8 to)
{
	if ((from == ESTABLISHED && to == FIN_WAIT1) || (from == CLOSE_WAIT && to == LAST_ACK))
		return 1;
	if (to != CLOSE)
		return 0;
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u64 *closes = bpf_map_lookup_elem(&closing, &tid);
	return closes && *closes == (u64)sk;
}

SEC("tp_btf/inet_sock_set_state")
int change(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	u8 from = (u8)ctx[1], to = (u8)ctx[2];
	u16 protocol = 0;
	READ(protocol, sk->sk_protocol);
	if (protocol != PROTOCOL_TCP || from == LISTEN || to == LISTEN || !is_followed(sk))
		return 0;
	int by_process = is_by_process(sk, from, to);
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	if (only_watched) {
		u64 key = (u64)sk;
		int ours = by_process && bpf_map_lookup_elem(&processes, &pid);
		if (!ours && by_process && !bpf_map_lookup_elem(&seen, &key))
			return 0;
	}
	struct event *event = begin(STATE);
	if (!event)
		return 0;
	event->sock = (u64)sk;
	event->old_state = from;
	event->new_state = to;
	name_ends(event, sk);
	if (by_process) {
		struct task_struct *task = bpf_get_current_task_btf();
		u32 flags = 0;
		READ(flags, task->flags);
		event->flags = BY_PROCESS | (flags & TASK_EXITS ? EXITING : 0);
	}
	if (to == CLOSE) {
		u64 key = (u64)sk;
		bpf_map_delete_elem(&seen, &key);
	}
	finish(event);
	return 0;
}

/* Both licences of the crate, one of which the kernel accepts for its own types. */
char LICENCE[] SEC("license") = "Dual MIT/GPL";
