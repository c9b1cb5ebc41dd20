/*
 * Memory that runs out while a host is being looked into: the collector goes on
 * afterwards, whichever allocation of Lua fails.
 */
#include <assert.h>
#include <unistd.h>

#include "host.h"

#ifdef AHOST_CHECKS

enum { STANDS_STILL = 5 };

static const char script[] =
    "local host = require 'ahost.host'\n"
    "local net = require 'ahost.net'\n"
    "local task = require 'ahost.task'\n"
    "local inspect = require 'ahost.control.introspection'.inspect\n"
    "local server <close> = net.serve('127.0.0.1:0', function(s) s:read() "
    "end)\n"
    "local client <close> = net.connect(server:address())\n"
    "task.spawn('sleeper', task.sleep, 10)\n"
    "task.yield()\n"
    "pcall(inspect, 100, true)\n"
    "if not collectgarbage 'isrunning' then host.stop(5) end\n"
    "host.stop()\n";

/* Refuses the n-th allocation after the opening, and some behind it; whether
 * there was one. */
static int run_refusing(long n, long refusals) {
    ahost_options options = {.size = sizeof(options), .stop_timeout = 0.2};
    ahost *h = NULL;
    int left, err = ahost_open(&h, &options);
    assert(err == AHOST_OK);
    h->refuse_after = n + refusals;
    h->refusals = refusals;
    alarm(20);
    if (ahost_load_string(h, script, "=script") == AHOST_OK)
        assert(ahost_run(h) != STANDS_STILL);
    left = h->refuse_after > 0;
    ahost_close(h);
    return !left;
}

static void test_each_allocation(long refusals) {
    for (long n = 1; run_refusing(n, refusals); n++)
        continue;
}

#endif

int main(void) {
#ifdef AHOST_CHECKS
    test_each_allocation(1);
    test_each_allocation(20);
#endif
    return 0;
}
