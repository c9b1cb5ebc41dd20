/*
 * embed_options.c - what a host is opened with: of a program that was compiled
 * with this header, an older one or a newer one.
 */
#include <string.h>

#include "embed.h"
#include "host.h"

enum {
    LARGEST = 4096, /* no version's structure is larger: it is no size */
    FILE_THREADS = 4
};

static const double default_stop_timeout = 10;

static int is_zero(const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return 0;
    return 1;
}

static unsigned or_default(unsigned value, unsigned fallback) {
    return value != 0 ? value : fallback;
}

static void fill_in(ahost_options *options) {
    if (options->log_level == 0)
        options->log_level = AHOST_LOG_NOTICE;
    if (!(options->stop_timeout > 0))
        options->stop_timeout = default_stop_timeout;
    options->max_connections = or_default(options->max_connections, UINT32_MAX);
    options->max_line = or_default(options->max_line, 65536);
    options->max_events = or_default(options->max_events, 100);
    options->max_items = or_default(options->max_items, 1000);
    options->max_posts = or_default(options->max_posts, 65536);
}

int ahost__take_options(const ahost_options *given, ahost_options *options) {
    const size_t known = sizeof(*options);
    memset(options, 0, known);
    if (given != NULL) {
        if (given->size < sizeof(given->size) || given->size > LARGEST)
            return AHOST_MISUSE;
        if (given->size > known &&
            !is_zero((const char *)given + known, given->size - known))
            return AHOST_NOT_SUPPORTED;
        memcpy(options, given, given->size < known ? given->size : known);
    }
    fill_in(options);
    return AHOST_OK;
}

static uint64_t signal_bits(const int *signals) {
    uint64_t bits = 0;
    for (; signals != NULL && *signals != 0; signals++)
        if (*signals > 0 && *signals <= 64)
            bits |= (uint64_t)1 << (*signals - 1);
    return bits;
}

static void read_watchdog(ahost__runs *runs, const ahost_options *options) {
    runs->stall = options->stall > 0 ? options->stall : 0;
    runs->stall_kill = options->stall_kill > 0 ? options->stall_kill : 0;
    runs->lag = options->lag > 0 ? (uint64_t)(options->lag * 1e9) : 0;
    runs->interrupt = options->interrupt;
    runs->interrupt_data = options->interrupt_data;
    runs->blocked = options->blocked;
    runs->blocked_data = options->blocked_data;
}

void ahost__read_options(ahost *h, const ahost_options *options) {
    h->log = options->log;
    h->log_data = options->log_data;
    h->log_level = options->log_level;
    h->memory_limit = options->memory_limit;
    h->stop_timeout = options->stop_timeout;
    h->passed_signals = signal_bits(options->signals);
    h->argc = options->argc;
    h->argv = options->argv;
    h->defaults = (ahost__defaults){.connections = options->max_connections,
                                    .line = options->max_line,
                                    .events = (lua_Integer)options->max_events,
                                    .items = (lua_Integer)options->max_items,
                                    .threads = FILE_THREADS};
    read_watchdog(&h->runs, options);
}
