/*
 * poll_loop.c - a host in a main loop that waits with poll(2): it reads lines
 * from a pipe that a thread writes to, and lets the host work in between.
 */
#include <ahost.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char script[] =
    "local task = require 'ahost.task'\n"
    "for i = 1, 3 do task.sleep(0.01) print('script', i) end\n";

static void log_record(void *data, const ahost_record *record) {
    (void)data;
    fprintf(stderr, "%s\n", record->text);
}

/* The program's own business: prints what is in the pipe. */
static void read_pipe(int fd) {
    char text[64];
    ssize_t size = read(fd, text, sizeof(text));
    if (size > 0)
        printf("pipe %.*s\n", (int)size, text);
}

static int loop(ahost *host, int fd) {
    struct pollfd fds[2] = {{fd, POLLIN, 0}, {ahost_fd(host), POLLIN, 0}};
    do {
        fflush(stdout);
        if (poll(fds, 2, ahost_timeout(host)) < 0)
            return -1;
        if (fds[0].revents != 0)
            read_pipe(fd);
    } while (ahost_step(host, 0) == 1);
    return ahost_exit_status(host);
}

int main(void) {
    ahost_options options = {.size = sizeof(options), .log = log_record};
    ahost *host;
    int pipes[2], status = 1;
    if (pipe(pipes) != 0 || ahost_open(&host, &options) != AHOST_OK)
        return 1;
    if (write(pipes[1], "hello", 5) == 5 &&
        ahost_load_string(host, script, "=script") == AHOST_OK)
        status = loop(host, pipes[0]);
    ahost_close(host);
    close(pipes[0]);
    close(pipes[1]);
    return status;
}
