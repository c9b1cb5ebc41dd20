/*
 * Memory that runs out within YAML: what libyaml holds is freed, whichever
 * allocation of Lua fails. (The sanitized build tells.)
 */
#include <assert.h>
#include <unistd.h>

#include "host.h"

#ifdef AHOST_CHECKS

/* Anchors, merges, tags, positions, messages; blocks, keys, paths. */
static const char script[] =
    "local yaml = require 'ahost.yaml'\n"
    "local text = [[\n"
    "base: &base {a: 1, b: [x, 'y', \"z\"]}\n"
    "own:\n"
    "  <<: [*base, {c: 2}]\n"
    "  copy: *base\n"
    "  text: |\n"
    "    one\n"
    "    two\n"
    "tagged: !env NAME\n"
    "]]\n"
    "local options = {tags = {'!env'}, positions = true, name = 'name'}\n"
    "local value = assert(yaml.decode(text, options))\n"
    "value['\\1\\u{85}'] = 'x: \\'y'\n"
    "yaml.encode(value)\n"
    "yaml.encode(value, {flow = true})\n"
    "yaml.decode 'a: {b: 1, b: 2}'\n"
    "yaml.decode 'a: [1'\n"
    "yaml.decode 'a: [*x]'\n"
    "yaml.decode '\\xff'\n"
    "pcall(yaml.encode, {a = {print}})\n";

/* Refuses the n-th allocation after the opening, and some behind it; whether
 * there was one. */
static int run_refusing(long n, long refusals) {
    ahost_options options = {.size = sizeof(options)};
    ahost *h = NULL;
    int left, err = ahost_open(&h, &options);
    assert(err == AHOST_OK);
    h->refuse_after = n + refusals;
    h->refusals = refusals;
    alarm(20);
    if (ahost_load_string(h, script, "=script") == AHOST_OK)
        ahost_run(h);
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
    test_each_allocation(2);
    test_each_allocation(20);
#endif
    return 0;
}
