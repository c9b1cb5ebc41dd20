/*
 * program_wait.c - C functions of a program that wait through ahost_lua.h.
 */
#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "ahost_lua.h"

/* A one-shot timer that a task waits for; one at a time. */
typedef struct bell {
    uv_timer_t timer;
    ahost_ticket ticket;
    int rings, cancels, status;
} bell;

static bell the_bell;

static int bell_finish(lua_State *L, void *data, int status) {
    assert(data == &the_bell);
    lua_pushinteger(L, status);
    lua_pushstring(L, "rung"); /* Lua may be used here */
    return 2;
}

static void bell_cancel(void *data) {
    bell *b = data;
    b->cancels++; /* and the timer goes on: its ring must do no harm */
}

static const ahost_operation bell_operation = {"bell", bell_finish,
                                               bell_cancel};

static void on_ring(uv_timer_t *timer) {
    bell *b = timer->data;
    b->rings++;
    ahost_settle(&b->ticket, b->status);
    ahost_settle(&b->ticket, 99); /* the first one counts */
}

/* wait(milliseconds, [timeout]) -> status, "rung" */
static int l_wait(lua_State *L) {
    lua_Integer ms = luaL_checkinteger(L, 1);
    double timeout = luaL_optnumber(L, 2, -1);
    ahost_wait_begin(L, &bell_operation, &the_bell, &the_bell.ticket);
    uv_timer_start(&the_bell.timer, on_ring, (uint64_t)ms, 0);
    return ahost_await(L, &the_bell.ticket, timeout);
}

static int open_bell(lua_State *L) {
    lua_pushcfunction(L, l_wait);
    return 1;
}

static const char script[] =
    "local task, wait = require 'ahost.task', require 'bell'\n"
    "local status, text = wait(1)\n"
    "assert(status == 7 and text == 'rung')\n"
    "assert(wait(20, 0.001) == -9001)\n"
    "task.sleep(0.05)\n"
    "local waiter = task.spawn(function() wait(20) end)\n"
    "task.yield()\n"
    "waiter:cancel()\n"
    "local ok, err = waiter:join()\n"
    "assert(not ok and err.code == 'CANCELLED')\n"
    "task.spawn(task.sleep, 0.05):join() -- the late ring finds another wait\n"
    "assert(wait(1) == 7)\n";

static void print_record(void *data, const ahost_record *record) {
    (void)data;
    fprintf(stderr, "%s: %s\n", record->logger, record->text);
}

int main(void) {
    ahost_options options = {.size = sizeof(options), .log = print_record};
    ahost *host;
    assert(ahost_open(&host, &options) == AHOST_OK);
    assert(ahost_from_lua(ahost_lua(host)) == host);
    uv_timer_init(ahost_loop(host), &the_bell.timer);
    the_bell.timer.data = &the_bell;
    the_bell.status = 7;
    assert(ahost_preload(host, "bell", open_bell) == AHOST_OK);
    assert(ahost_preload(host, NULL, open_bell) == AHOST_MISUSE);
    assert(ahost_load_string(host, script, "=script") == AHOST_OK);
    assert(ahost_run(host) == 0);
    assert(the_bell.rings == 4 && the_bell.cancels == 2);
    uv_close((uv_handle_t *)&the_bell.timer, NULL);
    ahost_close(host);
    return 0;
}
