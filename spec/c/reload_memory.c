/*
 * Memory that runs out while components are reloaded: whichever allocation
 * fails, one generation serves afterwards, and the next reload goes well.
 */
#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ahost_lua.h"
#include "host.h"

#ifdef AHOST_CHECKS

enum { WRONG = 5, NOT_REFUSED = 3, STEP = 29 };

static const char script[] =
    "local refuse = require 'refuse'\n"
    "local testing = require 'ahost.testing'\n"
    "local folder, n = ...\n"
    "local function write(version)\n"
    "  local file <close> = assert(io.open(folder .. '/a.lua', 'w'))\n"
    "  file:write(([[return {\n"
    "    start = function(self, ctx)\n"
    "      local bus = ctx:require 'bus'\n"
    "      bus:subscribe('ask', function(_, seen) seen[#seen + 1] = %d end)\n"
    "      ctx:publish('value', %d)\n"
    "    end,\n"
    "    save = function() return { 1, 2 } end,\n"
    "    restore = function() end,\n"
    "  }]]):format(version, version))\n"
    "end\n"
    "write(1)\n"
    "local host = testing.host{ component = './a.lua', directory = folder }\n"
    "local function check(version)\n"
    "  local seen = {}\n"
    "  host.bus:publish('ask', seen)\n"
    "  return host.ctx:get 'value' == version and #seen == 1\n"
    "    and seen[1] == version and host.app.root.generation == version\n"
    "end\n"
    "write(2)\n"
    "refuse(tonumber(n))\n"
    "local called, report = pcall(host.reload, host)\n"
    "local refused = refuse(0)\n"
    "local is_over = host.app.stopping:is_set()\n"
    "local ok = called and report.ok\n"
    "if not is_over and not check(ok and 2 or 1) then\n"
    "  os.exit(5)\n"
    "elseif not is_over and not (host:reload().ok and check(2)) then\n"
    "  os.exit(5)\n"
    "end\n"
    "host:stop()\n"
    "require('ahost.host').stop(refused and 0 or 3, true)\n";

/* refuse(n): the n-th allocation from now on fails. refuse(0) -> whether it
 * has */
static int refuse(lua_State *L) {
    ahost *h = ahost_from_lua(L);
    long n = (long)luaL_checkinteger(L, 1);
    int has_refused = h->refuse_after == 0;
    h->refusals = 1;
    h->refuse_after = n > 0 ? n + 1 : 0;
    lua_pushboolean(L, has_refused);
    return 1;
}

static int open_refuse(lua_State *L) {
    lua_pushcfunction(L, refuse);
    return 1;
}

/* Whether there was such an allocation. */
static int run_refusing(const char *folder, long n) {
    char number[24];
    char *arguments[] = {(char *)(uintptr_t)folder, number};
    ahost_options options = {
        .size = sizeof(options), .stop_timeout = 0.5, .argc = 2};
    ahost *h;
    int status;
    options.argv = arguments;
    snprintf(number, sizeof(number), "%ld", n);
    assert(ahost_open(&h, &options) == AHOST_OK);
    assert(ahost_preload(h, "refuse", open_refuse) == AHOST_OK);
    alarm(20);
    assert(ahost_load_string(h, script, "=script") == AHOST_OK);
    status = ahost_run(h);
    if (status == WRONG)
        fprintf(stderr, "wrong after allocation %ld\n", n);
    assert(status != WRONG);
    ahost_close(h);
    return status != NOT_REFUSED;
}

int main(void) {
    char folder[] = "/tmp/reload_memory_XXXXXX", path[64];
    assert(mkdtemp(folder) != NULL);
    for (long n = 1; run_refusing(folder, n); n += STEP)
        continue;
    snprintf(path, sizeof(path), "%s/a.lua", folder);
    unlink(path);
    rmdir(folder);
    return 0;
}

#else

int main(void) {
    return 0;
}

#endif
