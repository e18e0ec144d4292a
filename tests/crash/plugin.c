/* A plugin that holds something: ADD makes a file, DEL removes it, and GC all that are of its network
 * and not valid.
 *
 * It lives in <world>/plugins/<name> and knows the world by that:
 *
 *   held/<name>/<container>-<ifname>   what it holds, with the name of the network; an ADD of what is
 *                                      held is refused
 *   told/<name>.<verb>                 what it is told to do: slow, late, daemon, fail, dawdle, moody,
 *                                      in any order
 *   running                            of which a byte is locked by whichever plugin works for a
 *                                      container, and all that are of a network by its GC
 *   log                                what all of them did, a line each, by one write
 *
 * slow: 30 ms before what it does, 10 ms after it. fail: it takes what an ADD takes, keeps what a
 * DEL gives up, and fails. late: 1.5 s before what it does. daemon: a process of a session of its
 * own stays, holding descriptor 3. dawdle: now and then 1 to 30 ms before what it does, or after it,
 * and seldom ten times as long, so that whoever is killed then has a successor meanwhile, on a busy
 * machine, too. moody: now and then it fails.
 *
 * A result names what it and those before it hold; where others were before it, theirs is passed on.
 *
 * The lock is a POSIX one: the kernel says who holds it, lets go of it when that process ends,
 * however it ends, and no child inherits it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char world[PATH_MAX / 2], path[PATH_MAX];
static const char *name, *verb, *container, *ifname, *netns;
static char network[256], version[16];
static unsigned seed;

#define LOCKS ((off_t)1 << 24)

static const char *environment(const char *key) {
    const char *value = getenv(key);
    return value ? value : "";
}

static const char *in_world(const char *format, ...) {
    int length = snprintf(path, sizeof path, "%s/", world);
    va_list rest;
    va_start(rest, format);
    vsnprintf(path + length, sizeof path - length, format, rest);
    va_end(rest);
    return path;
}

static struct timespec now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at;
}

/* Says one of 0 to n - 1. */
static int draw(int n) {
    return rand_r(&seed) / (RAND_MAX / n + 1);
}

/* Writes a line: what happened, and beside whom. RUNTIME is for whoever judges several runtimes. */
static void note_beside(const char *what, const char *previous, pid_t beside) {
    char line[1024];
    struct timespec at = now();
    const char *runtime = environment("RUNTIME");
    int length = snprintf(line, sizeof line,
                          "%s %s %s %s-%s netns=%s prev=%s pid=%d runtime=%s at=%ld.%09ld beside=%d\n", what,
                          verb, name, container, ifname, *netns ? "yes" : "no", *previous ? previous : "-",
                          getpid(), *runtime ? runtime : "-", (long)at.tv_sec, at.tv_nsec, beside);
    int fd = open(in_world("log"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, length) != length)
        exit(70);
    close(fd);
}

static void note(const char *what, const char *previous) {
    note_beside(what, previous, 0);
}

/* Says which byte is a name's. */
static off_t byte_of(const char *text) {
    unsigned hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash % LOCKS;
}

/* Notes who has any of these bytes, if anybody does; holds them otherwise. */
static void lock(off_t first, off_t n, const char *previous) {
    for (;;) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first, .l_len = n};
        if (!fcntl(0, F_SETLK, &lock))
            return;
        if (fcntl(0, F_GETLK, &lock))
            exit(70);
        if (lock.l_type == F_UNLCK)
            continue; /* it ended just now */
        note_beside("overlap", previous, lock.l_pid);
        return;
    }
}

/* Locks the container, and it in its network; for a GC, all that are in its network.
 *
 * By descriptor 0, whose request was read: the kernel closes it first, the guard later. Who waits
 * for the guard does not meet the lock.
 */
static void be_alone(const char *previous) {
    int fd = open(in_world("running"), O_RDWR | O_CREAT, 0600);
    if (fd < 0 || dup2(fd, 0) || close(fd))
        exit(70);
    off_t of_network = (1 + byte_of(network)) * LOCKS;
    if (!strcmp(verb, "GC")) {
        lock(of_network, LOCKS, previous);
        return;
    }
    lock(byte_of(container), 1, previous);
    lock(of_network + byte_of(container), 1, previous);
}

static int is_told(const char *word) {
    char words[256] = "";
    FILE *file = fopen(in_world("told/%s.%s", name, verb), "re");
    if (!file)
        return 0;
    words[fread(words, 1, sizeof words - 1, file)] = 0;
    fclose(file);
    return strstr(words, word) != NULL;
}

static char *read_request(void) {
    size_t size = 0, room = 1 << 16;
    char *text = malloc(room);
    for (ssize_t n; (n = read(0, text + size, room - size - 1)) > 0;) {
        size += n;
        if (room - size < 2)
            text = realloc(text, room *= 2);
    }
    text[size] = 0;
    return text;
}

/* Reads a text of the request's; acni writes no space behind a colon that it wrote itself. */
static void read_text(char *text, size_t room, const char *request, const char *key) {
    const char *at = strstr(request, key);
    *text = 0;
    if (!at || !(at = strchr(at + strlen(key), '"')))
        return;
    size_t length = strcspn(++at, "\"");
    if (length < room)
        text[length] = 0, memcpy(text, at, length);
}

/* Says whom the previous result names: "held-first,held-second". */
static void read_previous(char *names, size_t room, const char *request) {
    const char *at = strstr(request, "\"prevResult\"");
    *names = 0;
    while (at && (at = strstr(at, "held-"))) {
        size_t length = strcspn(at, "\"");
        if (strlen(names) + length + 2 > room)
            return;
        if (*names)
            strcat(names, ",");
        strncat(names, at, length);
        at += length;
    }
}

/* Prints the previous result as it came; there is no brace in its texts. */
static void pass_on(const char *result) {
    int depth = 0;
    do {
        depth += (*result == '{') - (*result == '}');
        putchar(*result++);
    } while (depth && *result);
}

static void print_result(char *previous, const char *request) {
    const char *result = strstr(request, "\"prevResult\":");
    if (result && !*previous) { /* of a plugin that is none of these */
        pass_on(strchr(result, '{'));
        return;
    }
    printf("{\"cniVersion\":\"%s\",\"interfaces\":[", version);
    for (char *each = strtok(previous, ","); each; each = strtok(NULL, ","))
        printf("{\"name\":\"%s\"},", each);
    printf("{\"name\":\"held-%s\"}],\"ips\":[{\"address\":\"192.0.2.7/24\"}]}", name);
}

static int refuse(const char *why) {
    printf("{\"cniVersion\":\"%s\",\"code\":100,\"msg\":\"%s\"}", version, why);
    return 1;
}

/* Stays until it is ended, for ten seconds at most. */
static void leave_daemon(void) {
    if (fork())
        return;
    setsid();
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    for (int i = 0; i < 1000; i++)
        usleep(10000);
    _exit(0);
}

/* Tells whether what is held is another network's, or valid. */
static int is_kept(const char *held, const char *request) {
    char owner[sizeof network] = "", valid[512];
    const char *ifname_of = strrchr(held, '-');
    FILE *file = fopen(in_world("held/%s/%s", name, held), "re");
    if (!file)
        exit(70);
    owner[fread(owner, 1, sizeof owner - 1, file)] = 0;
    fclose(file);
    snprintf(valid, sizeof valid, "{\"containerID\":\"%.*s\",\"ifname\":\"%s\"}", (int)(ifname_of - held), held,
             ifname_of + 1);
    return strcmp(owner, network) || strstr(request, valid);
}

static void collect(const char *request) {
    DIR *listed = opendir(in_world("held/%s", name));
    if (!listed || !strstr(request, "cni.dev/valid-attachments"))
        exit(70);
    for (struct dirent *each; (each = readdir(listed));)
        if (each->d_name[0] != '.' && !is_kept(each->d_name, request))
            unlink(in_world("held/%s/%s", name, each->d_name));
    closedir(listed);
}

static void dawdle(void) {
    usleep((1000 + draw(29000)) * (draw(12) ? 1 : 10));
}

static int work(const char *previous, const char *request, int fails) {
    char held[PATH_MAX];
    snprintf(held, sizeof held, "%s", in_world("held/%s/%s-%s", name, container, ifname));
    if (!strcmp(verb, "ADD")) {
        int fd = open(held, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            note("twice", previous);
            return 1;
        }
        if (write(fd, network, strlen(network)) < 0)
            exit(70);
        close(fd);
    } else if (!strcmp(verb, "GC") && !fails) {
        collect(request);
    } else if (!strcmp(verb, "DEL") && !fails) {
        unlink(held);
    } else if (!strcmp(verb, "CHECK")) {
        return access(held, F_OK) != 0;
    }
    return fails;
}

int main(int argc, char **argv) {
    char previous[512];
    char *slash, *request;
    (void)argc;
    snprintf(world, sizeof world, "%s", argv[0]);
    slash = strrchr(world, '/');
    name = strrchr(argv[0], '/') + 1;
    *slash = 0;
    *strrchr(world, '/') = 0;
    verb = environment("CNI_COMMAND"), container = environment("CNI_CONTAINERID");
    ifname = environment("CNI_IFNAME"), netns = environment("CNI_NETNS");
    request = read_request();
    read_previous(previous, sizeof previous, request);
    read_text(network, sizeof network, request, "\"name\":");
    read_text(version, sizeof version, request, "\"cniVersion\":");
    if (!strcmp(verb, "VERSION")) {
        puts("{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"1.0.0\",\"1.1.0\"]}");
        return 0;
    }
    seed = now().tv_nsec ^ getpid() << 8;
    /* Before it locks: who meets the lock finds in the log whose it is. */
    note("start", previous);
    be_alone(previous);
    int is_slow = is_told("slow"), dawdles = is_told("dawdle") ? draw(3) : 0;
    if (is_slow)
        usleep(30000);
    if (is_told("late"))
        usleep(1500000);
    if (dawdles == 1)
        dawdle();
    int failed = work(previous, request, is_told("fail") || (is_told("moody") && !draw(16)));
    if (is_slow)
        usleep(10000);
    if (dawdles == 2)
        dawdle();
    if (is_told("daemon"))
        leave_daemon();
    note("end", previous);
    if (failed)
        return refuse("told to fail");
    if (!strcmp(verb, "ADD"))
        print_result(previous, request);
    return 0;
}
