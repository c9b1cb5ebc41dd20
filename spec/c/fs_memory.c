/*
 * fs_memory.c - files while memory is refused.
 *
 * A script fills the memory that its host may take, but for a little room, and
 * uses files: each step is refused memory with one room or another. Then it
 * frees what it has filled, and the same host must be able to go on, with no
 * descriptor left open and no temporary file left behind.
 */
#include <ahost.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LIMIT = 4 * 1024 * 1024, DONE = 42 };

static const char script[] =
    "local limit, room, directory = ...\n"
    "local context = require 'ahost.context'\n"
    "local fs = require 'ahost.fs'\n"
    "local host = require 'ahost.host'\n"
    "local path, line = directory .. '/a', ('x'):rep(3000)\n"
    "local function use()\n"
    "  assert(fs.write(path, { line, '\\n', line }, { atomic = true }))\n"
    "  assert(fs.read(path) == line .. '\\n' .. line)\n"
    "  local file <close> = assert(fs.open(path, 'r+'))\n"
    "  assert(file:read_line() == line)\n"
    "  assert(file:write(line))\n"
    "  assert(file:seek('set', 1) == 1)\n"
    "  assert(#file:read_all() == 6000)\n"
    "  assert(#fs.list(directory) == 1)\n"
    "  assert(fs.stat(path).type == 'file')\n"
    "  local watch <close> = assert(fs.watch(directory))\n"
    "end\n"
    "local function descriptors() return #fs.list('/proc/self/fd') end\n"
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
    "  use()\n"
    "  collectgarbage()\n"
    "  local before = descriptors()\n"
    "  pcall(fill)\n"
    "  for _ = 1, 3 do pcall(use) end\n"
    "  filling = nil\n"
    "  collectgarbage()\n"
    "  collectgarbage()\n"
    "  use()\n"
    "  for _ = 1, 100 do if descriptors() == before then break end end\n"
    "  assert(descriptors() == before)\n"
    "  assert(#fs.list(directory) == 1)\n"
    "  host.stop(42)\n"
    "end)\n";

static void ignore(void *data, const ahost_record *record) {
    (void)data;
    (void)record;
}

static int run_with(int room, char *directory) {
    char limit_text[16], room_text[16];
    char *argv[] = {limit_text, room_text, directory};
    ahost_options options = {.size = sizeof(options),
                             .log = ignore,
                             .memory_limit = LIMIT,
                             .argc = 3,
                             .argv = argv};
    ahost *host;
    int status;
    snprintf(limit_text, sizeof(limit_text), "%d", LIMIT);
    snprintf(room_text, sizeof(room_text), "%d", room);
    assert(ahost_open(&host, &options) == AHOST_OK);
    assert(ahost_load_string(host, script, "=script") == AHOST_OK);
    status = ahost_run(host);
    if (status != DONE)
        fprintf(stderr, "room %d: status %d: %s\n", room, status,
                ahost_errmsg(host));
    ahost_close(host);
    return status;
}

int main(void) {
    char directory[] = "/tmp/fs_memory.XXXXXX", path[64];
    int failed = 0;
    assert(mkdtemp(directory) != NULL);
    for (int room = 0; room < 100000; room += room < 20000 ? 373 : 2999)
        failed += run_with(room, directory) != DONE;
    snprintf(path, sizeof(path), "%s/a", directory);
    unlink(path);
    rmdir(directory);
    assert(failed == 0);
    return 0;
}
