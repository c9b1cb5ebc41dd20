/*
 * Child processes of a host inside a program that has its own ideas about
 * SIGCHLD, and under memory that runs out.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static void on_child(int number) {
    (void)number;
}

static const char script[] =
    "local process = require 'ahost.process'\n"
    "for _ = 1, 3 do assert(process.run {'cat', stdin = 'x'}) end\n"
    "local a = assert(process.spawn {'sleep', '1000', group = true})\n"
    "process.spawn {'no-such-program'}\n"
    "assert(a:close().signal == 'TERM')\n"
    "process.spawn {'sleep', '1000', stop_timeout = 1}\n";

static void check_no_children(void) {
    assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* Runs the script; refuses the n-th allocation after the opening and some
 * before it, unless n is 0. False when there were not so many. */
static int run(long n, long refusals, int *status) {
    ahost_options options = {.size = sizeof(options), .stop_timeout = 0.5};
    ahost *h;
    int left = 1;
    assert(ahost_open(&h, &options) == AHOST_OK);
#ifdef AHOST_CHECKS
    h->refuse_after = n;
    h->refusals = refusals;
#else
    (void)n;
    (void)refusals;
#endif
    alarm(20);
    *status = 1;
    if (ahost_load_string(h, script, "=script") == AHOST_OK)
        *status = ahost_run(h);
#ifdef AHOST_CHECKS
    left = h->refuse_after > 0;
#endif
    ahost_close(h);
    check_no_children();
    return !left;
}

/* The program's disposition is back when the last child has ended. */
static void test_disposition(void (*handler)(int)) {
    struct sigaction mine = {.sa_handler = handler}, now;
    int status;
    sigaction(SIGCHLD, &mine, NULL);
    run(0, 0, &status);
    assert(status == 0);
    sigaction(SIGCHLD, NULL, &now);
    assert(now.sa_handler == handler);
}

/* Not each allocation: a run takes as long as its processes. */
static void test_memory(void) {
    int status;
    for (long n = 1; run(n, 1, &status); n += 17)
        continue;
    for (long n = 20; run(n, 20, &status); n += 37)
        continue;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    test_disposition(on_child);
    test_disposition(SIG_IGN);
    test_disposition(SIG_DFL);
    test_memory();
    return 0;
}
