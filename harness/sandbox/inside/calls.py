"""Numbers of the system calls on x86-64 and aarch64, and what a locked-down program may do with each.

Numbers: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.  A call that is not in the
table fails with EPERM in a program; newer calls than the table knows fail with ENOSYS, as on an older kernel.
"""

from __future__ import annotations

import platform

# By rule: name, number on x86-64, number on aarch64.  Rules: allow; namespaces (allowed only where the program has a file
# system of its own); own (allowed only on the program itself, which the first argument must name); inner (the sandbox or its
# tests use the number, programs may never call it); others: see seccomp.py.
RULES = {
    "allow": """
read 0 63, write 1 64, open 2 -, close 3 57, stat 4 -, fstat 5 80, lstat 6 -, poll 7 -, lseek 8 62, mmap 9 222,
mprotect 10 226, munmap 11 215, brk 12 214, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, pread64 17 67,
pwrite64 18 68, readv 19 65, writev 20 66, access 21 -, select 23 -, sched_yield 24 124, mremap 25 216,
msync 26 227, madvise 28 233, dup 32 23, dup2 33 -, pause 34 -, nanosleep 35 101, getitimer 36 102, alarm 37 -,
setitimer 38 103, getpid 39 172, sendfile 40 71, sendto 44 206, recvfrom 45 207, recvmsg 47 212, shutdown 48 210,
getsockname 51 204, getpeername 52 205, exit 60 93, uname 63 160, fsync 74 82,
fdatasync 75 83, ftruncate 77 46, getdents 78 -, getcwd 79 17, chdir 80 49, fchdir 81 50, rename 82 -, mkdir 83 -, rmdir 84 -,
creat 85 -, link 86 -, unlink 87 -, symlink 88 -, readlink 89 -, umask 95 166, gettimeofday 96 169, getrlimit 97 163,
times 100 153, getuid 102 174, getgid 104 176, geteuid 107 175, getegid 108 177, getppid 110 173,
getpgrp 111 -, getgroups 115 158, getresuid 118 148, getresgid 120 150, rt_sigpending 127 136, rt_sigtimedwait 128 137,
rt_sigsuspend 130 133, sigaltstack 131 132, sched_get_priority_max 146 125, sched_get_priority_min 147 126, arch_prctl 158 -,
setrlimit 160 164, gettid 186 178, time 201 -, epoll_create 213 -, getdents64 217 61, set_tid_address 218 96,
restart_syscall 219 128, exit_group 231 94, epoll_wait 232 -, epoll_ctl 233 21, openat 257 56, mkdirat 258 34,
newfstatat 262 79, unlinkat 263 35, renameat 264 38, linkat 265 37, symlinkat 266 36, readlinkat 267 78, faccessat 269 48,
pselect6 270 72, ppoll 271 73, set_robust_list 273 99, epoll_pwait 281 22, timerfd_create 283 85, fallocate 285 47,
timerfd_settime 286 86, timerfd_gettime 287 87, eventfd2 290 19, epoll_create1 291 20, dup3 292 24,
preadv 295 69, pwritev 296 70, getcpu 309 168, renameat2 316 276, getrandom 318 278, membarrier 324 283,
copy_file_range 326 285, rseq 334 293, close_range 436 436, faccessat2 439 439,
epoll_pwait2 441 441
""",
    "namespaces": """
statfs 137 43, fstatfs 138 44, chmod 90 -, fchmod 91 52, utime 132 -, utimes 235 -, futimesat 261 -, fchmodat 268 53,
utimensat 280 88, fchmodat2 452 452
""",
    "own": """
sched_setaffinity 203 122, tgkill 234 131, prlimit64 302 261, getpgid 121 155, getsid 124 156,
sched_getparam 143 121, sched_getscheduler 145 120, sched_getaffinity 204 123
""",
    "pretend": "flock 73 32, readahead 187 213, fadvise64 221 223",
    "kill": "kill 62 129",
    "clock": "clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115",
    "plain": "preadv2 327 286, pwritev2 328 287",
    "priority": "getpriority 140 141",
    "clone": "clone 56 220",
    "fcntl": "fcntl 72 25",
    "ioctl": "ioctl 16 29",
    "prctl": "prctl 157 167",
    "futex": "futex 202 98",
    "sockopt": "getsockopt 55 209, setsockopt 54 208",
    "missing": "clone3 435 435, openat2 437 437",
    "statx": "statx 332 291",
    "inner": """
mount 165 40, umount2 166 39, pivot_root 155 41, unshare 272 97, sethostname 170 161, seccomp 317 277,
capset 126 91, mount_setattr 442 442, landlock_create_ruleset 444 444, landlock_add_rule 445 445,
landlock_restrict_self 446 446, socket 41 198, connect 42 203, fork 57 -, vfork 58 -, execve 59 221, ptrace 101 117,
add_key 248 217, io_uring_setup 425 425, memfd_create 319 279, shmget 29 194, userfaultfd 323 282, bpf 321 280,
pidfd_open 434 434, setpriority 141 140, process_vm_readv 310 270, keyctl 250 219, perf_event_open 298 241, mq_open 240 180,
sync 162 81, truncate 76 45, sysinfo 99 179, chown 92 -, fchownat 260 54, mknodat 259 33, setxattr 188 5,
open_by_handle_at 304 265, setns 308 268, pipe 22 -, pipe2 293 59, socketpair 53 199, getrusage 98 165, personality 135 92
""",
}
NEWEST = 452  # the newest call that this table has considered
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # include/uapi/linux/audit.h
COLUMN = {"x86_64": 0, "aarch64": 1}


def system_calls(machine: str) -> dict[str, tuple[int, str]]:
    """name -> (number, rule) for a machine; empty where it is neither x86-64 nor aarch64."""
    if machine not in COLUMN:
        return {}
    entries = ((rule, entry.split()) for rule, text in RULES.items() for entry in text.split(","))
    numbers = ((name, pair[COLUMN[machine]], rule) for rule, (name, *pair) in entries)
    return {name: (int(number), rule) for name, number, rule in numbers if number != "-"}


MACHINE = platform.machine()
NUMBERS = {name: number for name, (number, _) in system_calls(MACHINE).items()}
