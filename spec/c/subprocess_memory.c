/*
 * Memory that runs out while child processes are started, fed and waited for:
 * every allocation of a script may fail, one after the other, and the host
 * still ends in order, with no child and no descriptor left.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

/* Loaded before: that their loading can fail is no news. */
static const char modules[] =
    "require 'ahost.process' require 'ahost.task' require 'ahost.spelling'\n";

static const char run_script[] =
    "local process = require 'ahost.process'\n"
    "local text = ('x'):rep(100000)\n"
    "local result, err = process.run{'cat', stdin = text}\n"
    "assert(err or result.stdout == text)\n"
    "process.run{'/nowhere/to/be/found', env = {A = 'b'}}\n";

static const char spawn_script[] =
    "local process = require 'ahost.process'\n"
    "local task = require 'ahost.task'\n"
    "local child = process.spawn{'cat', stop_timeout = 0.01, group = true}\n"
    "local waiting = task.spawn(function() child:wait() end)\n"
    "assert(child.stdin:write('line\\n'))\n"
    "child.stdout:read_line()\n"
    "local other <close> = process.spawn{'cat', stdin = child.stdout}\n"
    "child:kill()\n"
    "waiting:join()\n"
    "assert(waiting:status() ~= 'running')\n";

static void ignore_record(void *data, const ahost_record *record) {
    (void)data, (void)record;
}

/* Refuses the n-th allocation after the opening, and some behind it. False when
 * there were not so many. */
static int run_refusing(const char *script, long n, long refusals) {
    int left;
    ahost_options options = {
        .size = sizeof(options), .stop_timeout = 1, .log = ignore_record};
    ahost *h;
    assert(ahost_open(&h, &options) == AHOST_OK);
    assert(luaL_dostring(h->L, modules) == LUA_OK);
#ifdef AHOST_CHECKS
    h->refuse_after = n + refusals;
    h->refusals = refusals;
#endif
    alarm(20);
    if (ahost_load_string(h, script, "=script") == AHOST_OK)
        ahost_run(h);
#ifdef AHOST_CHECKS
    left = h->refuse_after >= refusals;
#else
    left = 1;
    (void)n;
    (void)refusals;
#endif
    ahost_close(h);
    return !left;
}

static int count_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    assert(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static void refuse_each(const char *script, long refusals) {
    int before;
    long n = 1;
    run_refusing(script, 1000000, 1); /* what is opened once */
    before = count_descriptors();
    while (run_refusing(script, n, refusals)) {
        if (count_descriptors() != before)
            fprintf(stderr, "refusal %ld: descriptors are left\n", n);
        assert(count_descriptors() == before);
        assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
        n++;
    }
}

int main(void) {
    static const long refusals[] = {1, 30};
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 2; i++) {
        refuse_each(run_script, refusals[i]);
        refuse_each(spawn_script, refusals[i]);
    }
    return 0;
}
