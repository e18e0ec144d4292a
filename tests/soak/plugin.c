/* A plugin that holds a file and does for each attachment what CNI_ARGS tells it.
 *
 * It lives in <world>/plugins/<name>; what it holds is <world>/held/<name>-<container>: ADD makes it,
 * DEL removes it. SOAK=<verb>-<name>-<how> names the one run that goes wrong, in how: "fails" leaves
 * what there is and exits with an error, "hangs" stays until it is ended. A DEL goes wrong once.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char result[] = "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"192.0.2.7/24\"}]}\n";
static const char failure[] = "{\"code\":999,\"msg\":\"told to fail\"}\n";

static const char *environment(const char *key) {
    const char *value = getenv(key);
    return value ? value : "";
}

/* Says whether this is the run that goes wrong, in that way. A DEL that does leaves what it holds empty:
 * the next one goes well. */
static int goes_wrong(const char *verb, const char *name, const char *how, const char *held) {
    char told[256];
    struct stat status;
    snprintf(told, sizeof told, "SOAK=%s-%s-%s", verb, name, how);
    if (!strstr(environment("CNI_ARGS"), told))
        return 0;
    if (strcmp(verb, "DEL") != 0)
        return 1;
    return stat(held, &status) == 0 && status.st_size > 0 && truncate(held, 0) == 0;
}

int main(int argc, char **argv) {
    char buffer[65536], held[PATH_MAX];
    const char *verb = environment("CNI_COMMAND");
    char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;

    if (!name)
        return 70;
    *name++ = '\0'; /* argv[0] is <world>/plugins now */
    snprintf(held, sizeof held, "%s/../held/%s-%s", argv[0], name, environment("CNI_CONTAINERID"));
    while (read(0, buffer, sizeof buffer) > 0)
        ;
    if (goes_wrong(verb, name, "hangs", held))
        pause();
    if (goes_wrong(verb, name, "fails", held))
        return write(1, failure, sizeof failure - 1) < 0 ? 71 : 1;
    if (strcmp(verb, "ADD") == 0) {
        int fd = open(held, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, name, strlen(name)) < 0 || write(1, result, sizeof result - 1) < 0)
            return 72;
    }
    if (strcmp(verb, "DEL") == 0)
        unlink(held);
    return 0;
}
