/*
 * Memory that runs out: every allocation of a script may fail, one after the
 * other, and the host still ends in order.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

/* Spawns, sleeps, timeouts, scopes, teardown callbacks, errors, coroutines. */
static const char script[] =
    "local task, context = require 'ahost.task', require 'ahost.context'\n"
    "local function child(n)\n"
    "  task.sleep(0)\n"
    "  return n, {}\n"
    "end\n"
    "local closing = setmetatable({}, {__close = function() task.yield() "
    "end})\n"
    "for n = 1, 3 do\n"
    "  local joined = task.spawn('child', child, n)\n"
    "  pcall(context.scope, function(ctx)\n"
    "    ctx.attribute = n\n"
    "    ctx:on_close(function() task.yield() end)\n"
    "    ctx:on_close(function() error('teardown') end)\n"
    "    ctx:spawn(function()\n"
    "      local _ <close> = closing\n"
    "      task.timeout(0, task.sleep, 1000)\n"
    "      if n == 2 then error('failure') end\n"
    "    end)\n"
    "    task.shield(task.yield)\n"
    "  end)\n"
    "  for i in coroutine.wrap(function()\n"
    "    coroutine.yield(1)\n"
    "    task.yield()\n"
    "  end) do task.yield() end\n"
    "  joined:join(1000)\n"
    "  local victim = task.spawn(task.sleep, 1000)\n"
    "  task.yield()\n"
    "  victim:cancel('reason')\n"
    "  victim:join()\n"
    "  context.new():on_close(function() end)\n"
    "  task.race { task.yield, function() task.sleep(1000) end }\n"
    "end\n";

static ahost *open_host(size_t limit) {
    ahost_options options = {
        .size = sizeof(options), .memory_limit = limit, .stop_timeout = 0.2};
    ahost *h = NULL;
    int err = ahost_open(&h, &options);
    assert(err == AHOST_OK || (err == AHOST_NO_MEMORY && h == NULL));
    return h;
}

/* Returns the exit status, or -1 when it could not be loaded. */
static int load_and_run(ahost *h) {
    if (ahost_load_string(h, script, "=script") != AHOST_OK)
        return -1;
    return ahost_run(h);
}

static size_t memory_without_limit(void) {
    ahost *h = open_host(0);
    size_t memory;
    assert(load_and_run(h) <= 1);
    memory = h->memory;
    ahost_close(h);
    return memory;
}

/* Whatever the limit, the host opens or not, runs, ends and closes. */
static void test_limits(void) {
    size_t enough = memory_without_limit() * 2, step = enough / 2000;
    for (size_t limit = 1; limit < enough; limit += step) {
        ahost *h = open_host(limit);
        if (h == NULL)
            continue;
        alarm(20);
        load_and_run(h);
        ahost_close(h);
    }
}

#ifdef AHOST_CHECKS
/* Refuses the n-th allocation after the opening, and some behind it. */
static int run_refusing(long n, long refusals) {
    ahost *h = open_host(0);
    int left;
    h->refuse_after = n + refusals;
    h->refusals = refusals;
    alarm(20);
    load_and_run(h);
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
    test_limits();
#ifdef AHOST_CHECKS
    test_each_allocation(1);
    test_each_allocation(2);
    test_each_allocation(20);
#endif
    return 0;
}
