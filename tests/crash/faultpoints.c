/* Fault points: every call of the C library by which acni touches the machine, counted by what it
 * touches. The nth time of one such pair ends the process, before or after the call, or stops it, or
 * fails.
 *
 * Loaded by LD_PRELOAD. The host program drives it through ctypes: faultpoints_roots(),
 * faultpoints_start(), faultpoints_stop(), faultpoints_log(). Until it is started, and once it is
 * stopped, every call passes.
 *
 * A point is (call, path, n). The path is where the descriptor or the argument leads, below one of
 * the roots it is told ("state/results/net-c1-eth0"), or for what is no file its kind ("pipe",
 * "netlink"). By other sockets an event loop sends to itself: these are no points.
 * Runs of hexadecimal digits are random names ("*") and numbers elsewhere are of processes ("#").
 *
 * What glibc calls inside itself is not seen (fopen's open): tests compare with strace.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum mode { RECORD, KILL_BEFORE, KILL_AFTER, FAIL_ONCE, FAIL_FROM, PAUSE };

/* What a hit is; FAIL_FROM with a scope fails whatever has all its bits. */
enum { IN_STATE = 1, MODIFIES = 2, OPENS = 4 };

enum verdict { PASS, DIE_AFTER, FAIL };

#define KEY_BYTES 384
#define KEYS 4096
#define SLOTS 16384

static struct point {
    char key[KEY_BYTES]; /* call, tab, path */
    int count;
} points[KEYS];
static int slots[SLOTS]; /* one more than the index of a point */
static int used;
static char log_text[KEYS * 96];

static char state_root[PATH_MAX], world_root[PATH_MAX], leases_root[PATH_MAX];

static struct {
    char key[KEY_BYTES];
    int n;
    enum mode mode;
    int error;
    int scope;
    int is_failing;
} armed;
static atomic_int is_started;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards points, slots, used, armed */

/* The real ones, for our own use: a call of ours is no point. */
static long (*raw_syscall)(long, ...);

__attribute__((constructor)) static void find_raw(void) {
    raw_syscall = dlsym(RTLD_NEXT, "syscall");
}

static _Noreturn void die(void) {
    raw_syscall(SYS_kill, raw_syscall(SYS_getpid), SIGKILL);
    for (;;)
        raw_syscall(SYS_pause);
}

/* All threads stop before this one goes on: the signal is its own. */
static void stand_still(void) {
    raw_syscall(SYS_tgkill, raw_syscall(SYS_getpid), raw_syscall(SYS_gettid), SIGSTOP);
}

/* --- where a call leads ------------------------------------------------------------------------ */

static int below(const char *path, const char *root) {
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (!path[length] || path[length] == '/');
}

/* Puts the name of a path, without what differs between two runs, into a text of KEY_BYTES. */
static void put_name(char *text, const char *path) {
    const char *prefix = "";
    int is_ours = 1;
    if (below(path, state_root))
        prefix = "state", path += strlen(state_root);
    else if (below(path, leases_root))
        prefix = "leases", path += strlen(leases_root);
    else if (below(path, world_root))
        prefix = "world", path += strlen(world_root);
    else
        is_ours = 0;
    char *end = text + KEY_BYTES - 64;
    text = stpcpy(text, prefix);
    while (*path && text < end) {
        size_t hex = strspn(path, "0123456789abcdef"), digits = strspn(path, "0123456789");
        if (hex >= 16) {
            *text++ = '*';
            path += hex;
        } else if (!is_ours && digits) {
            *text++ = '#';
            path += digits;
        } else if (!strcmp(path, " (deleted)")) {
            break;
        } else {
            *text++ = *path++;
        }
    }
    *text = 0;
}

static void read_descriptor(char *target, int fd) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = raw_syscall(SYS_readlinkat, AT_FDCWD, link, target, PATH_MAX - 1L);
    if (length < 0)
        strcpy(target, "none");
    else
        target[length] = 0;
}

static int is_netlink(int fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    return domain == AF_NETLINK;
}

static void of_fd(char *text, int fd) {
    char target[PATH_MAX];
    int before = errno;
    if (is_netlink(fd)) {
        strcpy(text, "netlink");
        return;
    }
    errno = before;
    read_descriptor(target, fd);
    put_name(text, target);
}

static void of_at(char *text, int directory, const char *path) {
    char whole[2 * PATH_MAX];
    if (!path) {
        of_fd(text, directory);
        return;
    }
    if (path[0] == '/' || (directory == AT_FDCWD && path[0])) {
        put_name(text, path);
        return;
    }
    read_descriptor(whole, directory);
    size_t length = strlen(whole);
    if (path[0] && strcmp(path, "."))
        snprintf(whole + length, sizeof whole - length, "/%s", path);
    put_name(text, whole);
}

static void of_kind(char *text, const char *kind) { strcpy(text, kind); }

/* --- counting and judging ---------------------------------------------------------------------- */

static int count(const char *key) {
    unsigned hash = 2166136261u;
    for (const char *c = key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    for (unsigned at = hash % SLOTS;; at = (at + 1) % SLOTS) {
        if (!slots[at]) {
            if (used == KEYS)
                return 0;
            strcpy(points[used].key, key);
            points[used].count = 1;
            slots[at] = ++used;
            return 1;
        }
        struct point *point = &points[slots[at] - 1];
        if (!strcmp(point->key, key))
            return ++point->count;
    }
}

/* Neither a loop that cannot be woken nor a scenario's own notes are acni's: points.py. */
static int is_of_others(const char *key) {
    const char *path = strchr(key, '\t') + 1;
    return !strncmp(key, "epoll_ctl\tsocket", 16) || !strncmp(path, "world/said", 10) ||
           !strncmp(path, "world/told", 10);
}

static int is_in_scope(const char *key, int kind) {
    if (is_of_others(key))
        return 0;
    if (armed.scope)
        return (kind & armed.scope) == armed.scope;
    size_t call = strcspn(key, "\t") + 1;
    return !strncmp(key, armed.key, call);
}

static enum verdict judge(const char *call, const char *path, int kind) {
    char key[KEY_BYTES + 32];
    snprintf(key, sizeof key, "%s\t%s", call, path);
    key[KEY_BYTES - 1] = 0;
    if (!strncmp(path, "state", 5) && (!path[5] || path[5] == '/'))
        kind |= IN_STATE;
    enum verdict verdict = PASS;
    pthread_mutex_lock(&mutex);
    int n = count(key);
    if (armed.is_failing) {
        verdict = is_in_scope(key, kind) ? FAIL : PASS;
    } else if (n == armed.n && !strcmp(key, armed.key)) {
        switch (armed.mode) {
        case KILL_BEFORE: die();
        case KILL_AFTER: verdict = DIE_AFTER; break;
        case FAIL_FROM: armed.is_failing = 1; verdict = FAIL; break;
        case FAIL_ONCE: verdict = FAIL; break;
        case PAUSE: stand_still(); break;
        case RECORD: break;
        }
    }
    pthread_mutex_unlock(&mutex);
    return verdict;
}

/* --- what the host program calls --------------------------------------------------------------- */

void faultpoints_roots(const char *state, const char *world, const char *leases) {
    snprintf(state_root, sizeof state_root, "%s", state);
    snprintf(world_root, sizeof world_root, "%s", world);
    snprintf(leases_root, sizeof leases_root, "%s", leases);
}

void faultpoints_start(const char *key, int n, int mode, int error, int scope) {
    memset(slots, 0, sizeof slots);
    used = 0;
    snprintf(armed.key, sizeof armed.key, "%s", key);
    armed.n = n;
    armed.mode = mode;
    armed.error = error;
    armed.scope = scope;
    armed.is_failing = 0;
    /* Seen by strace: what lies between the two is compared. */
    raw_syscall(SYS_access, "/faultpoints-start", F_OK);
    atomic_store(&is_started, 1);
}

void faultpoints_stop(void) {
    if (atomic_exchange(&is_started, 0))
        raw_syscall(SYS_access, "/faultpoints-stop", F_OK);
}

/* Returns one line for each pair in the order of its first hit: call, path, how often. */
const char *faultpoints_log(void) {
    char *text = log_text, *end = log_text + sizeof log_text - KEY_BYTES - 16;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < used && text < end; i++)
        text += sprintf(text, "%s\t%d\n", points[i].key, points[i].count);
    pthread_mutex_unlock(&mutex);
    *text = 0;
    return log_text;
}

/* --- the calls --------------------------------------------------------------------------------- */

#define REAL(symbol) \
    static __typeof__(&symbol) real; \
    if (!real) \
        real = dlsym(RTLD_NEXT, #symbol)

/* What follows a verdict: failing is the statement that returns as the call would. */
#define PASS_OR_FAIL(call, where, kind, result, invoke, failing) \
    if (!atomic_load(&is_started)) \
        return invoke; \
    int before = errno; \
    char path[KEY_BYTES]; \
    where; \
    enum verdict verdict = judge(call, path, kind); \
    errno = before; \
    if (verdict == FAIL) { \
        failing; \
    } \
    result = invoke; \
    if (verdict == DIE_AFTER) \
        die(); \
    return returned

#define MINUS_ONE \
    errno = armed.error; \
    return -1
#define NOTHING \
    errno = armed.error; \
    return NULL
#define THE_ERROR return armed.error

#define CALL(type, symbol, name, parameters, arguments, where, kind, failing) \
    type symbol parameters { \
        REAL(symbol); \
        PASS_OR_FAIL(name, where, kind, type returned, real arguments, failing); \
    }

#define ON_FD(type, symbol, name, parameters, arguments, kind) \
    CALL(type, symbol, name, parameters, arguments, of_fd(path, fd), kind, MINUS_ONE)
#define ON_PATH(type, symbol, name, parameters, arguments, kind) \
    CALL(type, symbol, name, parameters, arguments, of_at(path, AT_FDCWD, file), kind, MINUS_ONE)
#define ON_AT(type, symbol, name, parameters, arguments, kind) \
    CALL(type, symbol, name, parameters, arguments, of_at(path, at, file), kind, MINUS_ONE)

static int kind_of_open(int flags) {
    return OPENS | (flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC) ? MODIFIES : 0);
}

#define OPEN(symbol) \
    int symbol(const char *file, int flags, ...) { \
        REAL(symbol); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        PASS_OR_FAIL("open", of_at(path, AT_FDCWD, file), kind_of_open(flags), int returned, \
                     real(file, flags, mode), MINUS_ONE); \
    }
#define OPENAT(symbol) \
    int symbol(int at, const char *file, int flags, ...) { \
        REAL(symbol); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        PASS_OR_FAIL("open", of_at(path, at, file), kind_of_open(flags), int returned, \
                     real(at, file, flags, mode), MINUS_ONE); \
    }
/* What a fortified program calls for an open without a mode. */
int __open_2(const char *, int);
int __open64_2(const char *, int);
int __openat_2(int, const char *, int);
int __openat64_2(int, const char *, int);

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
ON_PATH(int, __open_2, "open", (const char *file, int flags), (file, flags), kind_of_open(flags))
ON_PATH(int, __open64_2, "open", (const char *file, int flags), (file, flags), kind_of_open(flags))
ON_AT(int, __openat_2, "open", (int at, const char *file, int flags), (at, file, flags), kind_of_open(flags))
ON_AT(int, __openat64_2, "open", (int at, const char *file, int flags), (at, file, flags), kind_of_open(flags))

ON_FD(ssize_t, read, "read", (int fd, void *data, size_t size), (fd, data, size), 0)
ON_FD(ssize_t, readv, "read", (int fd, const struct iovec *parts, int n), (fd, parts, n), 0)
ON_FD(ssize_t, pread, "pread", (int fd, void *data, size_t size, off_t at), (fd, data, size, at), 0)
ON_FD(ssize_t, pread64, "pread", (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), 0)
ON_FD(ssize_t, write, "write", (int fd, const void *data, size_t size), (fd, data, size), MODIFIES)
ON_FD(ssize_t, writev, "write", (int fd, const struct iovec *parts, int n), (fd, parts, n), MODIFIES)
ON_FD(ssize_t, pwrite, "pwrite", (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), MODIFIES)
ON_FD(ssize_t, pwrite64, "pwrite", (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), MODIFIES)
ON_FD(ssize_t, pwritev, "pwrite", (int fd, const struct iovec *parts, int n, off_t at), (fd, parts, n, at), MODIFIES)
ON_FD(ssize_t, pwritev2, "pwrite", (int fd, const struct iovec *parts, int n, off_t at, int flags), (fd, parts, n, at, flags), MODIFIES)
ON_FD(ssize_t, pwritev64v2, "pwrite", (int fd, const struct iovec *parts, int n, off64_t at, int flags), (fd, parts, n, at, flags), MODIFIES)
ON_FD(int, fsync, "fsync", (int fd), (fd), MODIFIES)
ON_FD(int, fdatasync, "fdatasync", (int fd), (fd), MODIFIES)
ON_FD(int, syncfs, "syncfs", (int fd), (fd), MODIFIES)
ON_FD(int, ftruncate, "ftruncate", (int fd, off_t size), (fd, size), MODIFIES)
ON_FD(int, ftruncate64, "ftruncate", (int fd, off64_t size), (fd, size), MODIFIES)
ON_FD(off_t, lseek, "lseek", (int fd, off_t at, int whence), (fd, at, whence), 0)
ON_FD(off64_t, lseek64, "lseek", (int fd, off64_t at, int whence), (fd, at, whence), 0)
ON_FD(int, flock, "flock", (int fd, int operation), (fd, operation), 0)
ON_FD(int, fchmod, "fchmod", (int fd, mode_t mode), (fd, mode), MODIFIES)
ON_FD(int, fallocate, "fallocate", (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), MODIFIES)
ON_FD(int, fallocate64, "fallocate", (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size), MODIFIES)
CALL(int, posix_fallocate, "fallocate", (int fd, off_t at, off_t size), (fd, at, size), of_fd(path, fd), MODIFIES, THE_ERROR)
CALL(int, posix_fallocate64, "fallocate", (int fd, off64_t at, off64_t size), (fd, at, size), of_fd(path, fd), MODIFIES, THE_ERROR)

/* The descriptor is closed whatever close says (close(2), "Dealing with error returns"). */
CALL(int, close, "close", (int fd), (fd), of_fd(path, fd), 0, real(fd); MINUS_ONE)

/* The key of a rename is where it leads. */
CALL(int, rename, "rename", (const char *old, const char *file), (old, file), of_at(path, AT_FDCWD, file), MODIFIES, MINUS_ONE)
CALL(int, renameat, "rename", (int from, const char *old, int at, const char *file), (from, old, at, file), of_at(path, at, file), MODIFIES, MINUS_ONE)
CALL(int, renameat2, "rename", (int from, const char *old, int at, const char *file, unsigned flags), (from, old, at, file, flags), of_at(path, at, file), MODIFIES, MINUS_ONE)
CALL(int, link, "link", (const char *old, const char *file), (old, file), of_at(path, AT_FDCWD, file), MODIFIES, MINUS_ONE)
CALL(int, linkat, "link", (int from, const char *old, int at, const char *file, int flags), (from, old, at, file, flags), of_at(path, at, file), MODIFIES, MINUS_ONE)
CALL(int, symlink, "symlink", (const char *old, const char *file), (old, file), of_at(path, AT_FDCWD, file), MODIFIES, MINUS_ONE)
CALL(int, symlinkat, "symlink", (const char *old, int at, const char *file), (old, at, file), of_at(path, at, file), MODIFIES, MINUS_ONE)
ON_PATH(int, unlink, "unlink", (const char *file), (file), MODIFIES)
ON_AT(int, unlinkat, "unlink", (int at, const char *file, int flags), (at, file, flags), MODIFIES)
ON_PATH(int, rmdir, "unlink", (const char *file), (file), MODIFIES)
ON_PATH(int, mkdir, "mkdir", (const char *file, mode_t mode), (file, mode), MODIFIES)
ON_AT(int, mkdirat, "mkdir", (int at, const char *file, mode_t mode), (at, file, mode), MODIFIES)
ON_PATH(int, chmod, "chmod", (const char *file, mode_t mode), (file, mode), MODIFIES)
ON_PATH(int, truncate, "truncate", (const char *file, off_t size), (file, size), MODIFIES)
ON_PATH(int, truncate64, "truncate", (const char *file, off64_t size), (file, size), MODIFIES)

ON_PATH(int, stat, "stat", (const char *restrict file, struct stat *restrict status), (file, status), 0)
ON_PATH(int, stat64, "stat", (const char *restrict file, struct stat64 *restrict status), (file, status), 0)
ON_PATH(int, lstat, "stat", (const char *restrict file, struct stat *restrict status), (file, status), 0)
ON_PATH(int, lstat64, "stat", (const char *restrict file, struct stat64 *restrict status), (file, status), 0)
ON_AT(int, fstatat, "stat", (int at, const char *restrict file, struct stat *restrict status, int flags), (at, file, status, flags), 0)
ON_AT(int, fstatat64, "stat", (int at, const char *restrict file, struct stat64 *restrict status, int flags), (at, file, status, flags), 0)
ON_AT(int, statx, "stat", (int at, const char *restrict file, int flags, unsigned mask, struct statx *restrict status), (at, file, flags, mask, status), 0)
ON_FD(int, fstat, "stat", (int fd, struct stat *status), (fd, status), 0)
ON_FD(int, fstat64, "stat", (int fd, struct stat64 *status), (fd, status), 0)
ON_PATH(int, access, "access", (const char *file, int mode), (file, mode), 0)
ON_AT(int, faccessat, "access", (int at, const char *file, int mode, int flags), (at, file, mode, flags), 0)
ON_PATH(ssize_t, readlink, "readlink", (const char *restrict file, char *restrict text, size_t size), (file, text, size), 0)
ON_AT(ssize_t, readlinkat, "readlink", (int at, const char *restrict file, char *restrict text, size_t size), (at, file, text, size), 0)

CALL(DIR *, opendir, "opendir", (const char *file), (file), of_at(path, AT_FDCWD, file), OPENS, NOTHING)
CALL(DIR *, fdopendir, "opendir", (int fd), (fd), of_fd(path, fd), 0, NOTHING)
CALL(struct dirent *, readdir, "readdir", (DIR *listed), (listed), of_fd(path, dirfd(listed)), 0, NOTHING)
CALL(struct dirent64 *, readdir64, "readdir", (DIR *listed), (listed), of_fd(path, dirfd(listed)), 0, NOTHING)

CALL(int, pipe, "pipe", (int ends[2]), (ends), of_kind(path, "pipe"), OPENS, MINUS_ONE)
CALL(int, pipe2, "pipe", (int ends[2], int flags), (ends, flags), of_kind(path, "pipe"), OPENS, MINUS_ONE)
CALL(int, memfd_create, "memfd_create", (const char *name, unsigned flags), (name, flags), of_kind(path, "memory"), OPENS, MINUS_ONE)
CALL(int, epoll_create1, "epoll_create", (int flags), (flags), of_kind(path, "epoll"), OPENS, MINUS_ONE)
ON_FD(int, epoll_ctl, "epoll_ctl", (int poll, int operation, int fd, struct epoll_event *event), (poll, operation, fd, event), 0)
CALL(int, poll, "poll", (struct pollfd *waited, nfds_t n, int timeout), (waited, n, timeout), of_fd(path, n ? waited[0].fd : -1), 0, MINUS_ONE)
CALL(int, socket, "socket", (int domain, int type, int protocol), (domain, type, protocol), of_kind(path, "socket"), OPENS, MINUS_ONE)

/* What an event loop sends to itself passes. */
#define ON_NETLINK(type, symbol, name, parameters, arguments) \
    type symbol parameters { \
        REAL(symbol); \
        if (!atomic_load(&is_started) || !is_netlink(fd)) \
            return real arguments; \
        PASS_OR_FAIL(name, of_kind(path, "netlink"), 0, type returned, real arguments, MINUS_ONE); \
    }

ON_NETLINK(int, bind, "bind", (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
ON_NETLINK(int, getsockname, "getsockname", (int fd, struct sockaddr *restrict address, socklen_t *restrict size), (fd, address, size))
ON_NETLINK(int, setsockopt, "setsockopt", (int fd, int level, int option, const void *value, socklen_t size), (fd, level, option, value, size))
ON_NETLINK(ssize_t, send, "send", (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
ON_NETLINK(ssize_t, sendto, "send", (int fd, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length), (fd, data, size, flags, address, length))
ON_NETLINK(ssize_t, sendmsg, "send", (int fd, const struct msghdr *message, int flags), (fd, message, flags))
ON_NETLINK(ssize_t, recv, "receive", (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
ON_NETLINK(ssize_t, recvfrom, "receive", (int fd, void *restrict data, size_t size, int flags, struct sockaddr *restrict address, socklen_t *restrict length), (fd, data, size, flags, address, length))
ON_NETLINK(ssize_t, recvmsg, "receive", (int fd, struct msghdr *message, int flags), (fd, message, flags))

CALL(int, eventfd, "eventfd", (unsigned first, int flags), (first, flags), of_kind(path, "event"), OPENS, MINUS_ONE)
ON_FD(int, futimens, "utime", (int fd, const struct timespec times[2]), (fd, times), MODIFIES)
ON_AT(int, utimensat, "utime", (int at, const char *file, const struct timespec times[2], int flags), (at, file, times, flags), MODIFIES)
CALL(int, inotify_init1, "inotify_init", (int flags), (flags), of_kind(path, "inotify"), OPENS, MINUS_ONE)
CALL(int, inotify_add_watch, "inotify_add_watch", (int fd, const char *file, uint32_t mask), (fd, file, mask), of_at(path, AT_FDCWD, file), 0, MINUS_ONE)
CALL(int, waitid, "waitid", (idtype_t of, id_t id, siginfo_t *info, int options), (of, id, info, options), of_kind(path, "child"), 0, MINUS_ONE)
CALL(pid_t, waitpid, "waitid", (pid_t pid, int *status, int options), (pid, status, options), of_kind(path, "child"), 0, MINUS_ONE)
ON_FD(int, setns, "setns", (int fd, int kind), (fd, kind), 0)
CALL(int, unshare, "unshare", (int flags), (flags), of_kind(path, "self"), 0, MINUS_ONE)
ON_PATH(int, mount, "mount", (const char *source, const char *file, const char *type, unsigned long flags, const void *data), (source, file, type, flags, data), 0)
ON_PATH(int, umount2, "umount", (const char *file, int flags), (file, flags), 0)

CALL(int, posix_spawn, "spawn", (pid_t *restrict pid, const char *restrict file, const posix_spawn_file_actions_t *restrict actions, const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const envp[restrict]), (pid, file, actions, attributes, argv, envp), of_at(path, AT_FDCWD, file), OPENS, THE_ERROR)
#ifdef HAS_PIDFD_SPAWN /* glibc 2.39 */
int pidfd_spawn(int *restrict, const char *restrict, const posix_spawn_file_actions_t *restrict, const posix_spawnattr_t *restrict, char *const[restrict], char *const[restrict]);
CALL(int, pidfd_spawn, "spawn", (int *restrict pidfd, const char *restrict file, const posix_spawn_file_actions_t *restrict actions, const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const envp[restrict]), (pidfd, file, actions, attributes, argv, envp), of_at(path, AT_FDCWD, file), OPENS, THE_ERROR)
#endif

/* Every argument that may follow is passed on as a long: on the machines we know that is what the
 * kernel reads, whatever its type. */
#define CONTROL(symbol, name, request_type) \
    int symbol(int fd, request_type request, ...) { \
        REAL(symbol); \
        va_list rest; \
        va_start(rest, request); \
        long argument = va_arg(rest, long); \
        va_end(rest); \
        int kind = kind_of_control(name, request); \
        PASS_OR_FAIL(name, of_fd(path, fd), kind, int returned, real(fd, request, argument), MINUS_ONE); \
    }

static int kind_of_control(const char *name, unsigned long request) {
    return !strcmp(name, "fcntl") && (request == F_DUPFD || request == F_DUPFD_CLOEXEC) ? OPENS : 0;
}

CONTROL(fcntl, "fcntl", int)
CONTROL(fcntl64, "fcntl", int)
CONTROL(ioctl, "ioctl", unsigned long)

/* Python reaches by number what its C library may lack. */
long syscall(long number, ...) {
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    const char *name = number == SYS_pidfd_open          ? "pidfd_open"
                       : number == SYS_pidfd_send_signal ? "pidfd_send_signal"
                                                         : NULL;
    if (!name)
        return raw_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    int kind = number == SYS_pidfd_open ? OPENS : 0;
    PASS_OR_FAIL(name, of_kind(path, "child"), kind, long returned,
                 raw_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]), MINUS_ONE);
}
