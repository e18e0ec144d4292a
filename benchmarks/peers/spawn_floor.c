/* What running plugins costs at least: posix_spawn with a session of its own and three pipes, one
 * thread, one epoll on the pidfds, as an event loop would do it. Nothing is checked that could only
 * go wrong in earnest.
 *
 * spawn_floor RUNS AT_ONCE PLUGIN <REQUEST: passes its environment on, and prints a JSON line, as
 * every peer does; with the milliseconds that the longest start blocked it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct run {
    double started;
    pid_t pid;
    int pidfd, out, err;
};

static char *plugin;
static char request[65536];
static size_t request_size;
static double longest_start;

static void need(int succeeded, const char *what) {
    if (!succeeded) {
        perror(what);
        exit(1);
    }
}

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void start(struct run *run, int epoll, uint32_t number) {
    int in[2], out[2], err[2];
    double before = run->started = milliseconds();
    need(pipe2(in, O_CLOEXEC) + pipe2(out, O_CLOEXEC) + pipe2(err, O_CLOEXEC) == 0, "pipe2");
    need(write(in[1], request, request_size) == (ssize_t)request_size, "write");
    close(in[1]);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    char *argv[] = {plugin, NULL};
    need(posix_spawn(&run->pid, plugin, &actions, &attributes, argv, environ) == 0, "posix_spawn");
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    double took = milliseconds() - before;
    longest_start = took > longest_start ? took : longest_start;

    run->out = out[0];
    run->err = err[0];
    run->pidfd = syscall(SYS_pidfd_open, run->pid, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    need(epoll_ctl(epoll, EPOLL_CTL_ADD, run->pidfd, &event) == 0, "epoll_ctl");
}

static void finish(struct run *run, int epoll) {
    static char output[65536];
    int status;
    /* A child just spawned may hold copies for a moment: closing alone does not take it out. */
    epoll_ctl(epoll, EPOLL_CTL_DEL, run->pidfd, NULL);
    close(run->pidfd);
    while (read(run->out, output, sizeof output) > 0)
        ;
    while (read(run->err, output, sizeof output) > 0)
        ;
    close(run->out);
    close(run->err);
    need(waitpid(run->pid, &status, 0) == run->pid && status == 0, "waitpid");
}

static int ascending(const void *one, const void *other) {
    double first = *(const double *)one, second = *(const double *)other;
    return (first > second) - (first < second);
}

static double cpu_microseconds(int who) {
    struct rusage usage;
    getrusage(who, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

int main(int argc, char **argv) {
    need(argc == 4, "usage: spawn_floor RUNS AT_ONCE PLUGIN <REQUEST");
    int runs = atoi(argv[1]), at_once = atoi(argv[2]), started = 0, done = 0;
    plugin = argv[3];
    request_size = read(0, request, sizeof request);
    struct run *running = calloc(at_once, sizeof *running);
    double *took = calloc(runs, sizeof *took);
    struct epoll_event events[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    double own = cpu_microseconds(RUSAGE_SELF), children = cpu_microseconds(RUSAGE_CHILDREN);
    double begun = milliseconds();
    while (started < at_once && started < runs) {
        start(&running[started], epoll, started);
        started++;
    }
    while (done < runs) {
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            uint32_t number = events[i].data.u32;
            finish(&running[number], epoll);
            took[done++] = (milliseconds() - running[number].started) * 1e3;
            if (started < runs) {
                start(&running[number], epoll, number);
                started++;
            }
        }
    }
    double wall = milliseconds() - begun;
    own = cpu_microseconds(RUSAGE_SELF) - own;
    children = cpu_microseconds(RUSAGE_CHILDREN) - children;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(took, runs, sizeof *took, ascending);
    printf("{\"phase\": \"add\", \"ops\": %.1f, \"own_us\": %.1f, \"children_us\": %.1f, ",
           runs / wall * 1e3, own / runs, children / runs);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ", took[(runs - 1) * 50 / 100],
           took[(runs - 1) * 99 / 100], took[runs - 1]);
    printf("\"peak_kib\": %ld, \"threads\": 1, \"descriptors\": 4, \"longest_start_ms\": %.2f, ",
           usage.ru_maxrss, longest_start);
    printf("\"took_us\": [");
    for (int i = 0; i < runs; i++)
        printf("%s%.1f", i ? ", " : "", took[i]);
    printf("]}\n");
    return 0;
}
