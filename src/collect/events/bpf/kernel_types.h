/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The members of kernel types that trace.bpf.c reads, and no others. The loader looks up where the running kernel has
 * them, so their order and distance here mean nothing. Names of helpers and maps are those of include/uapi/linux/bpf.h. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#define RELOCATED __attribute__((preserve_access_index))

struct pt_regs {
	unsigned long r10, dx, di, orig_ax;
} RELOCATED;


struct ns_common {
	u32 inum;
} RELOCATED;

struct net {
	struct ns_common ns;
} RELOCATED;

typedef struct {
	struct net *net;
} RELOCATED possible_net_t;

struct in6_addr {
	u8 in6_u[16];
} RELOCATED;

struct sock_common {
	u32 skc_daddr, skc_rcv_saddr;
	u16 skc_dport, skc_num, skc_family;
	volatile u8 skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} RELOCATED;

struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
	u32 sk_ack_backlog, sk_max_ack_backlog;
} RELOCATED;

struct inet_sock {
	struct sock sk;
	u16 inet_sport;
} RELOCATED;

struct socket {
	struct sock *sk;
} RELOCATED;

struct inode {
	u16 i_mode;
} RELOCATED;

struct file {
	struct inode *f_inode;
	void *private_data;
} RELOCATED;

struct fdtable {
	u32 max_fds;
	struct file **fd;
} RELOCATED;

struct files_struct {
	struct fdtable *fdt;
} RELOCATED;

struct thread_info {
	u32 status;
} RELOCATED;

struct task_struct {
	struct thread_info thread_info;
	struct files_struct *files;
	u32 flags;
} RELOCATED;

/* Helpers, by their numbers. */
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_get_current_comm)(void *buffer, u32 size) = (void *)16;
static long (*bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static void *(*bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *record, u64 flags) = (void *)132;
static struct task_struct *(*bpf_get_current_task_btf)(void) = (void *)158;

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_RB_NO_WAKEUP = 1,
	BPF_ANY = 0,
};

#define SEC(name) __attribute__((section(name), used))
#define FIELD_NUMBER(name, value) int (*name)[value]
#define FIELD_TYPE(name, value) typeof(value) *name
#define INLINE static inline __attribute__((always_inline))

/* Copies a member that is reached from a kernel pointer; a bad pointer gives zeros. */
#define READ(to, from) bpf_probe_read_kernel(&(to), sizeof(to), (const void *)&(from))
