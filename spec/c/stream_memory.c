/*
 * stream_memory.c - streams while memory is refused.
 *
 * A script fills the memory that its host may take, but for a little room, and
 * uses connections: each step of accepting, reading and writing is refused
 * memory with one room or another. Then it frees what it has filled, and the
 * same host must be able to serve.
 */
#include <ahost.h>
#include <assert.h>
#include <stdio.h>

enum { LIMIT = 4 * 1024 * 1024, SERVED = 42 };

static const char script[] =
    "local limit, room = ...\n"
    "local context = require 'ahost.context'\n"
    "local host = require 'ahost.host'\n"
    "local net = require 'ahost.net'\n"
    "local line, big = ('x'):rep(3000), ('y'):rep(30000)\n"
    "local function echo(stream)\n"
    "  for text in stream:lines() do stream:write(text, '\\n') end\n"
    "end\n"
    "local function use(server, timeout)\n"
    "  local stream <close> = assert(net.connect(server:address()))\n"
    "  stream.timeout = timeout\n"
    "  for _, text in ipairs { 'a', line, big, line } do\n"
    "    assert(stream:write(text:sub(1, 10)))\n"
    "    assert(stream:write(text:sub(11), { '\\n' }))\n"
    "    assert(stream:read_line() == text)\n"
    "  end\n"
    "end\n"
    "local filling = {}\n"
    "local function fill()\n"
    "  while true do\n"
    "    local left = limit - room - host.stats().memory\n"
    "    if left < 256 then\n"
    "      collectgarbage() -- what was built on the way\n"
    "      left = limit - room - host.stats().memory\n"
    "      if left < 256 then return end\n"
    "    end\n"
    "    local size = math.min(8192, left // 2)\n"
    "    filling[#filling + 1] = ('z'):rep(size) .. #filling\n"
    "  end\n"
    "end\n"
    "context.scope({ on_error = 'log' }, function()\n"
    "  local server <close> = assert(net.serve('127.0.0.1:0', echo))\n"
    "  use(server)\n"
    "  collectgarbage()\n"
    "  pcall(fill)\n"
    "  for _ = 1, 3 do pcall(use, server, 0.02) end\n"
    "  filling = nil\n"
    "  collectgarbage()\n"
    "  collectgarbage()\n"
    "  use(server, 10)\n"
    "end)\n"
    "host.stop(42)\n";

static int records;

static void count_record(void *data, const ahost_record *record) {
    (void)data;
    (void)record;
    records++;
}

static int run_with(int room) {
    char limit_text[16], room_text[16];
    char *argv[] = {limit_text, room_text};
    ahost_options options = {.size = sizeof(options),
                             .log = count_record,
                             .memory_limit = LIMIT,
                             .argc = 2,
                             .argv = argv};
    ahost *host;
    int status;
    snprintf(limit_text, sizeof(limit_text), "%d", LIMIT);
    snprintf(room_text, sizeof(room_text), "%d", room);
    assert(ahost_open(&host, &options) == AHOST_OK);
    assert(ahost_load_string(host, script, "=script") == AHOST_OK);
    status = ahost_run(host);
    if (status != SERVED)
        fprintf(stderr, "room %d: status %d: %s\n", room, status,
                ahost_errmsg(host));
    ahost_close(host);
    return status;
}

int main(void) {
    for (int room = 0; room < 150000; room += room < 20000 ? 173 : 1999)
        assert(run_with(room) == SERVED);
    assert(records > 0);    /* memory was short at times */
    assert(records < 4000); /* and nobody spun */
    return 0;
}
