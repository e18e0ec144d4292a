/* A child of the host program that outlives it: it has copies of all descriptors, and with them the
 * locks of their open file descriptions. No handler of the interpreter runs in it, as in what a
 * library written in C forks.
 */
#include <unistd.h>

/* Returns 0 when the child was forked. */
int linger(unsigned milliseconds) {
    pid_t pid = fork();
    if (pid == 0) {
        usleep(milliseconds * 1000);
        _exit(0);
    }
    return pid < 0;
}
