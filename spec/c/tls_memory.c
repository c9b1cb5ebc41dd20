/*
 * tls_memory.c - TLS while memory is refused.
 *
 * The allocations of a connection, from the handshake to its end, fail one by
 * one, alone and several in a row. What fails is said; nothing is sent in plain
 * text, nothing is lost, and the next connection works. Needs the certificate
 * of the benchmarks, and does nothing where there is no TLS.
 */
#include <ahost.h>
#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "host.h"

#ifdef AHOST_CHECKS

enum { OK = 42, NO_TLS = 43 };

static const char prelude[] =
    "local net = require 'ahost.net'\n"
    "local task = require 'ahost.task'\n"
    "local pem = 'spec/bench/tls.pem'\n"
    "local big = ('y'):rep(300000)\n"
    "function serve()\n"
    "  return net.listen('127.0.0.1:0', { tls = { cert = pem, key = pem } })\n"
    "end\n"
    "function use(listener)\n"
    "  local accepting = task.spawn(function()\n"
    "    local b <close> = assert(listener:accept(5))\n"
    "    b.timeout = 5\n"
    "    local text = assert(b:read_exactly(#big))\n"
    "    assert(text == big)\n"
    "    assert(b:write(text))\n"
    "    assert(b:shutdown())\n"
    "    return true\n"
    "  end)\n"
    "  local a <close> = assert(net.connect(listener:address(),\n"
    "    { tls = { verify = false } }))\n"
    "  a.timeout = 5\n"
    "  assert(a:write(big))\n"
    "  assert(a:read_all() == big)\n"
    "  return assert(accepting:join())\n"
    "end\n";

static const char script[] = "local context = require 'ahost.context'\n"
                             "local host = require 'ahost.host'\n"
                             "local listener, err = serve()\n"
                             "if not listener then host.stop(43) return end\n"
                             "use(listener)\n"
                             "refuse()\n"
                             "local function try() use(listener) end\n"
                             "pcall(context.scope, { on_error = 'log' }, try)\n"
                             "refuse()\n"
                             "context.scope({ on_error = 'log' }, try)\n"
                             "host.stop(42)\n";

static void ignore_record(void *data, const ahost_record *record) {
    (void)data, (void)record;
}

/* refuse(): the first call has allocations fail, the second ends that. */
static int refuse(lua_State *L) {
    ahost *h = ahost__of(L);
    long *plan = lua_touserdata(L, lua_upvalueindex(1));
    if (plan[1] == 0) {
        plan[0] = h->refuse_after > 0;
        h->refuse_after = h->refusals = 0;
        return 0;
    }
    h->refusals = plan[1];
    h->refuse_after = plan[0] + plan[1];
    plan[1] = 0;
    return 0;
}

/* Runs the script with `count` allocations refused from the `n`-th on; false
 * when it needs fewer. */
static int run(long n, long count, int *status) {
    ahost_options options = {.size = sizeof(options), .log = ignore_record};
    long plan[2] = {n, count};
    ahost *h;
    assert(ahost_open(&h, &options) == AHOST_OK);
    lua_pushlightuserdata(h->L, plan);
    lua_pushcclosure(h->L, refuse, 1);
    lua_setglobal(h->L, "refuse");
    assert(luaL_dostring(h->L, prelude) == LUA_OK);
    assert(ahost_load_string(h, script, "=script") == AHOST_OK);
    alarm(20);
    *status = ahost_run(h);
    ahost_close(h);
    return plan[0] == 0;
}

int main(void) {
    static const long counts[] = {1, 3, 40};
    int status = OK;
    for (int i = 0; i < 3; i++)
        for (long n = 1; run(n, counts[i], &status); n++) {
            if (status != OK && status != NO_TLS)
                fprintf(stderr, "allocation %ld: status %d\n", n, status);
            assert(status == OK || status == NO_TLS);
            if (status == NO_TLS)
                return 0;
        }
    return 0;
}

#else

int main(void) {
    return 0;
}

#endif
