/*
 * Memory that runs out under calls in threads and channels: every allocation of
 * a script may fail, one after the other, and the host still ends in order.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

static const char call_script[] =
    "local task, thread = require 'ahost.task', require 'ahost.thread'\n"
    "local pool = thread.pool{size = 1, max_queue = 1}\n"
    "local waiting = {}\n"
    "for i = 1, 4 do\n"
    "  waiting[i] = task.spawn(function() pool:call(function(t)\n"
    "    return t, {t}\n"
    "  end, {i, {'x'}}) end)\n"
    "end\n"
    "for i = 1, 4 do waiting[i]:join() end\n"
    "local cancelled = task.spawn(function()\n"
    "  pool:call(function() while true do end end)\n"
    "end)\n"
    "task.yield()\n"
    "cancelled:cancel()\n"
    "thread.call(function() error {1} end)\n"
    "thread.call('string:rep', 'x', 3)\n"
    "pcall(thread.call, function() return print end)\n"
    "pcall(thread.call, function() end, {a = {b = print}})\n"
    "pool:close(0.1)\n";

static const char channel_script[] =
    "local task, thread = require 'ahost.task', require 'ahost.thread'\n"
    "local channel = thread.channel(1)\n"
    "local putter = task.spawn(function()\n"
    "  for i = 1, 3 do channel:put({i, {}}) end\n"
    "  channel:put(thread.channel(1), 0)\n"
    "end)\n"
    "local getter = task.spawn(function() return channel:get(0.1) end)\n"
    "getter:join()\n"
    "channel:get(0.1)\n"
    "putter:cancel()\n"
    "putter:join()\n"
    "channel:try_put({'x'})\n"
    "for value in channel:items() do channel:close() end\n";

static void count_record(void *data, const ahost_record *record) {
    assert(record->text != NULL);
    ++*(int *)data;
}

/* Refuses the n-th allocation after the opening, and some behind it. False when
 * there were not so many. */
static int run_refusing(const char *script, long n, long refusals) {
    int records = 0, left;
    ahost_options options = {.size = sizeof(options),
                             .stop_timeout = 0.2,
                             .log = count_record,
                             .log_data = &records};
    ahost *h;
    assert(ahost_open(&h, &options) == AHOST_OK);
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

static void refuse_each_allocation(const char *script, long refusals) {
    for (long n = 1; run_refusing(script, n, refusals); n++)
        continue;
}

int main(void) {
    static const long refusals[] = {1, 2, 20};
    for (int i = 0; i < 3; i++) {
        refuse_each_allocation(call_script, refusals[i]);
        refuse_each_allocation(channel_script, refusals[i]);
    }
    return 0;
}
