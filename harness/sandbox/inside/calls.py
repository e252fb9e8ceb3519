"""Numbers of the system calls on x86-64 and aarch64, and what a locked-down program may do with each.

Numbers: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.  A call that is not in the
table fails with EPERM in a program; newer calls than the table knows fail with ENOSYS, as on an older kernel.
"""

from __future__ import annotations

import platform

# name x86-64 aarch64 rule.  Rules: allow; own (allowed only on the program itself, which the first argument must name);
# namespaces (allowed only where the program has a file system of its own); inner (the sandbox or its tests use the number,
# programs may never call it); others: see seccomp.py.
TABLE = """
read 0 63 allow
write 1 64 allow
open 2 - allow
close 3 57 allow
stat 4 - allow
fstat 5 80 allow
lstat 6 - allow
poll 7 - allow
lseek 8 62 allow
mmap 9 222 allow
mprotect 10 226 allow
munmap 11 215 allow
brk 12 214 allow
rt_sigaction 13 134 allow
rt_sigprocmask 14 135 allow
rt_sigreturn 15 139 allow
ioctl 16 29 ioctl
pread64 17 67 allow
pwrite64 18 68 allow
readv 19 65 allow
writev 20 66 allow
access 21 - allow
pipe 22 - allow
select 23 - allow
sched_yield 24 124 allow
mremap 25 216 allow
msync 26 227 allow
madvise 28 233 allow
dup 32 23 allow
dup2 33 - allow
pause 34 - allow
nanosleep 35 101 allow
getitimer 36 102 allow
alarm 37 - allow
setitimer 38 103 allow
getpid 39 172 allow
sendfile 40 71 allow
sendto 44 206 allow
recvfrom 45 207 allow
recvmsg 47 212 allow
shutdown 48 210 allow
getsockname 51 204 allow
getpeername 52 205 allow
socketpair 53 199 socketpair
setsockopt 54 208 allow
getsockopt 55 209 allow
clone 56 220 clone
exit 60 93 allow
kill 62 129 own
uname 63 160 allow
fcntl 72 25 fcntl
flock 73 32 allow
fsync 74 82 allow
fdatasync 75 83 allow
ftruncate 77 46 allow
getdents 78 - allow
getcwd 79 17 allow
chdir 80 49 allow
fchdir 81 50 allow
rename 82 - allow
mkdir 83 - allow
rmdir 84 - allow
creat 85 - allow
link 86 - allow
unlink 87 - allow
symlink 88 - allow
readlink 89 - allow
chmod 90 - namespaces
fchmod 91 52 namespaces
umask 95 166 allow
gettimeofday 96 169 allow
getrlimit 97 163 allow
getrusage 98 165 allow
sysinfo 99 179 allow
times 100 153 allow
getuid 102 174 allow
getgid 104 176 allow
geteuid 107 175 allow
getegid 108 177 allow
getppid 110 173 allow
getpgrp 111 - allow
getgroups 115 158 allow
getresuid 118 148 allow
getresgid 120 150 allow
getpgid 121 155 allow
getsid 124 156 allow
rt_sigpending 127 136 allow
rt_sigtimedwait 128 137 allow
rt_sigsuspend 130 133 allow
sigaltstack 131 132 allow
utime 132 - namespaces
statfs 137 43 allow
fstatfs 138 44 allow
getpriority 140 141 allow
sched_getparam 143 121 allow
sched_getscheduler 145 120 allow
sched_get_priority_max 146 125 allow
sched_get_priority_min 147 126 allow
prctl 157 167 prctl
arch_prctl 158 - allow
setrlimit 160 164 allow
gettid 186 178 allow
readahead 187 213 allow
time 201 - allow
futex 202 98 allow
sched_setaffinity 203 122 own
sched_getaffinity 204 123 allow
epoll_create 213 - allow
getdents64 217 61 allow
set_tid_address 218 96 allow
restart_syscall 219 128 allow
fadvise64 221 223 allow
clock_gettime 228 113 allow
clock_getres 229 114 allow
clock_nanosleep 230 115 allow
exit_group 231 94 allow
epoll_wait 232 - allow
epoll_ctl 233 21 allow
tgkill 234 131 own
utimes 235 - namespaces
openat 257 56 allow
mkdirat 258 34 allow
futimesat 261 - namespaces
newfstatat 262 79 allow
unlinkat 263 35 allow
renameat 264 38 allow
linkat 265 37 allow
symlinkat 266 36 allow
readlinkat 267 78 allow
fchmodat 268 53 namespaces
faccessat 269 48 allow
pselect6 270 72 allow
ppoll 271 73 allow
set_robust_list 273 99 allow
utimensat 280 88 namespaces
epoll_pwait 281 22 allow
timerfd_create 283 85 allow
fallocate 285 47 allow
timerfd_settime 286 86 allow
timerfd_gettime 287 87 allow
eventfd2 290 19 allow
epoll_create1 291 20 allow
dup3 292 24 allow
pipe2 293 59 allow
preadv 295 69 allow
pwritev 296 70 allow
prlimit64 302 261 own
getcpu 309 168 allow
renameat2 316 276 allow
getrandom 318 278 allow
membarrier 324 283 allow
copy_file_range 326 285 allow
preadv2 327 286 allow
pwritev2 328 287 allow
statx 332 291 allow
rseq 334 293 allow
close_range 436 436 allow
openat2 437 437 allow
faccessat2 439 439 allow
epoll_pwait2 441 441 allow
fchmodat2 452 452 namespaces
clone3 435 435 inner
mount 165 40 inner
umount2 166 39 inner
pivot_root 155 41 inner
unshare 272 97 inner
sethostname 170 161 inner
seccomp 317 277 inner
capset 126 91 inner
mount_setattr 442 442 inner
landlock_create_ruleset 444 444 inner
landlock_add_rule 445 445 inner
landlock_restrict_self 446 446 inner
socket 41 198 inner
connect 42 203 inner
fork 57 - inner
vfork 58 - inner
execve 59 221 inner
ptrace 101 117 inner
add_key 248 217 inner
io_uring_setup 425 425 inner
memfd_create 319 279 inner
shmget 29 194 inner
userfaultfd 323 282 inner
bpf 321 280 inner
pidfd_open 434 434 inner
setpriority 141 140 inner
process_vm_readv 310 270 inner
keyctl 250 219 inner
perf_event_open 298 241 inner
mq_open 240 180 inner
sync 162 81 inner
truncate 76 45 inner
chown 92 - inner
fchownat 260 54 inner
mknodat 259 33 inner
setxattr 188 5 inner
open_by_handle_at 304 265 inner
"""
NEWEST = 452  # the newest call that this table has considered
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # include/uapi/linux/audit.h
COLUMN = {"x86_64": 0, "aarch64": 1}


def system_calls(machine: str) -> dict[str, tuple[int, str]]:
    """name -> (number, rule) for a machine; empty where it is neither x86-64 nor aarch64."""
    if machine not in COLUMN:
        return {}
    calls = {}
    for line in TABLE.split("\n"):
        if line:
            name, x86, arm, rule = line.split()
            number = (x86, arm)[COLUMN[machine]]
            if number != "-":
                calls[name] = (int(number), rule)
    return calls


MACHINE = platform.machine()
NUMBERS = {name: number for name, (number, _) in system_calls(MACHINE).items()}
