/*
 * Memory that runs out under the bus and the log: every allocation of a script
 * may fail, one after the other, and the host still ends in order.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

static const char bus_script[] =
    "local task, context = require 'ahost.task', require 'ahost.context'\n"
    "local bus = require('ahost.bus').new()\n"
    "local other = require('ahost.bus').new()\n"
    "local function once(m) bus:unsubscribe(m, once) end\n"
    "bus:subscribe('a', once)\n"
    "local sub = bus:subscriber('a', 'b', {max = 2})\n"
    "sub:subscribe(other, 'c')\n"
    "local waiting = task.spawn(function() sub:message(0) end)\n"
    "context.scope(function()\n"
    "  bus:subscribe('a', function() task.yield() error 'failure' end)\n"
    "  bus:subscribe('a', once)\n"
    "  local left = 15\n"
    "  bus:subscribe('deep', function()\n"
    "    left = left - 1\n"
    "    if left > 0 then bus:publish('deep') end\n"
    "  end)\n"
    "  bus:publish('a', 1, nil)\n"
    "  bus:publish_later('a', 2)\n"
    "  bus:publish_wait('a', 3)\n"
    "  bus:publish 'deep'\n"
    "end)\n"
    "other:publish('c')\n"
    "bus:publish_later('b', {})\n"
    "waiting:join()\n"
    "for _ in sub:messages() do break end\n";

static const char log_script[] =
    "local log, task = require 'ahost.log', require 'ahost.task'\n"
    "local signal = require('ahost.signal').new()\n"
    "signal:connect(function() error('failure') end)\n"
    "local logger = log.get 'a.b'\n"
    "log.set_level('a', 'debug')\n"
    "log.set_level('c', 'error')\n"
    "do\n"
    "  local outer <close> = log.capture()\n"
    "  local inner <close> = log.capture {passes = false}\n"
    "  logger:debug('%s %d', 'x', 1, {k = 'v', b = {}})\n"
    "  signal:emit()\n"
    "  logger:info('%d', 'no number')\n"
    "  task.yield()\n"
    "  signal:emit()\n"
    "  return inner.records[1].text\n"
    "end\n";

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
    left = h->refuse_after > 0;
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
        refuse_each_allocation(bus_script, refusals[i]);
        refuse_each_allocation(log_script, refusals[i]);
    }
    return 0;
}
