/*
 * log_route.c - which sinks the records of a logger go to, and what sinks have
 * to tell.
 *
 * What becomes of a sink is logged like anything else, by the logger
 * ahost.log: in the other sinks that hear of it, and by the program itself
 * unless one of them is its console.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "log.h"
#include "log_sink.h"

struct ahost__logging {
    ahost *host;
    uv_async_t async;
    ahost__log_sink **sinks;
    int count;
    int wants_json;
    ahost__log_route *routes; /* longer names come first */
};

/* ---- records ------------------------------------------------------------ */

static int covers(const ahost__log_route *route, const char *logger) {
    size_t length = strlen(route->name);
    return length == 0 || (strncmp(route->name, logger, length) == 0 &&
                           (logger[length] == '.' || logger[length] == '\0'));
}

/* Whether a record goes to a sink twice, by two routes. */
static int came_before(const ahost__log_route *first,
                       const ahost__log_route *route, int index,
                       const char *logger) {
    for (; first != NULL; first = first->next) {
        int count = first == route ? index : first->count;
        for (int i = 0; i < count && covers(first, logger); i++)
            if (first->sinks[i] == route->sinks[index])
                return 1;
        if (first == route)
            break;
    }
    return 0;
}

/* -> whether one of the sinks is a console */
static int write_to_sinks(const ahost__logging *l,
                          const ahost__log_record *record,
                          const ahost__log_sink *except) {
    const ahost__log_route *route = l->routes;
    int console = 0, goes_on = 1;
    for (; route != NULL && goes_on; route = route->next) {
        if (!covers(route, record->logger))
            continue;
        for (int i = 0; i < route->count; i++) {
            ahost__log_sink *sink = route->sinks[i];
            if (sink == except ||
                came_before(l->routes, route, i, record->logger))
                continue;
            console |= sink->is_console && record->level >= sink->level;
            ahost__log_sink_write(sink, record);
        }
        goes_on = route->propagates;
    }
    return console;
}

static void call_program(ahost *h, const ahost__log_record *record) {
    ahost_record given = {.level = record->level,
                          .logger = record->logger,
                          .text = record->text,
                          .json = record->json};
    if (h->log != NULL)
        h->log(h->log_data, &given);
}

void ahost__log_deliver(ahost *h, const ahost__log_record *record) {
    ahost__log_record timed = *record;
    if (h->logging == NULL) {
        call_program(h, record);
        return;
    }
    if (timed.time == 0)
        timed.time = ahost__wall(h);
    write_to_sinks(h->logging, &timed, NULL);
}

int ahost__log_wants_json(const ahost *h) {
    return h->logging != NULL ? h->logging->wants_json : h->log != NULL;
}

/* ---- what sinks tell ---------------------------------------------------- */

static void tell(ahost *h, const ahost__log_sink *sink,
                 const ahost__log_report *report) {
    ahost__log_record record = {.level = report->level,
                                .logger = "ahost.log",
                                .text = report->text,
                                .time = ahost__wall(h)};
    if (ahost__capture_text(h, &record) &&
        (h->logging == NULL || !write_to_sinks(h->logging, &record, sink)))
        call_program(h, &record);
}

static void tell_reports(ahost__logging *l) {
    ahost__log_report report;
    for (int i = 0; i < l->count; i++)
        if (ahost__log_sink_take_report(l->sinks[i], &report))
            tell(l->host, l->sinks[i], &report);
}

static void on_report(uv_async_t *async) {
    ahost__logging *l = ahost__container_of(async, ahost__logging, async);
    tell_reports(l);
    ahost__ready_run(l->host);
}

/* ---- replacing ---------------------------------------------------------- */

void ahost__log_route_free(ahost__log_route *route) {
    while (route != NULL) {
        ahost__log_route *next = route->next;
        free(route->sinks);
        free(route->name);
        free(route);
        route = next;
    }
}

static void free_logging(ahost__logging *l) {
    ahost__log_route_free(l->routes);
    free(l->sinks);
    free(l);
}

static void on_closed(uv_handle_t *handle) {
    free_logging(
        ahost__container_of((uv_async_t *)handle, ahost__logging, async));
}

/* What they hold is written in their own time, which is not for ever. */
static void release(ahost__logging *l) {
    static const uint64_t time = 10 * (uint64_t)1000000000;
    tell_reports(l);
    for (int i = 0; i < l->count; i++) {
        ahost__log_sink_detach(l->sinks[i]);
        ahost__log_sink_end(l->sinks[i], uv_hrtime() + time);
        ahost__log_sink_release(l->sinks[i]);
    }
    l->count = 0;
    uv_close((uv_handle_t *)&l->async, on_closed);
}

/* 0 or a code */
static int make(ahost *h, ahost__log_sink **sinks, int count,
                ahost__logging **made) {
    ahost__logging *l = calloc(1, sizeof(*l));
    int err;
    if (l == NULL)
        return UV_ENOMEM;
    l->host = h;
    l->count = count;
    l->sinks = malloc(sizeof(*sinks) * (size_t)count);
    err = l->sinks != NULL ? uv_async_init(h->loop, &l->async, on_report)
                           : UV_ENOMEM;
    if (err != 0) {
        free_logging(l);
        return err;
    }
    uv_unref((uv_handle_t *)&l->async);
    memcpy(l->sinks, sinks, sizeof(*sinks) * (size_t)count);
    for (int i = 0; i < count; i++) {
        l->wants_json |= sinks[i]->format.kind == AHOST__LOG_JSON;
        sinks[i]->async = &l->async;
        sinks[i]->pending = &h->log_pending;
    }
    *made = l;
    return 0;
}

int ahost__log_install(ahost *h, ahost__log_sink **sinks, int count,
                       ahost__log_route *routes) {
    ahost__logging *old = h->logging, *l = NULL;
    int err = count > 0 ? make(h, sinks, count, &l) : 0;
    if (err != 0)
        return err;
    if (l != NULL)
        l->routes = routes;
    else
        ahost__log_route_free(routes);
    h->logging = l;
    if (old != NULL)
        release(old);
    return 0;
}

void ahost__log_rotate(ahost *h) {
    for (int i = 0; h->logging != NULL && i < h->logging->count; i++)
        ahost__log_sink_rotate(h->logging->sinks[i]);
}

/* Pushes what one sink has done. */
static void push_sink_stats(lua_State *L, ahost__log_sink *sink) {
    uint64_t dropped;
    size_t records;
    uv_mutex_lock(&sink->mutex);
    dropped = sink->dropped;
    records = sink->records;
    uv_mutex_unlock(&sink->mutex);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, sink->name);
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, (lua_Integer)records);
    lua_setfield(L, -2, "queued");
    lua_pushinteger(L, (lua_Integer)dropped);
    lua_setfield(L, -2, "dropped");
}

int ahost__log_push_stats(lua_State *L) {
    const ahost__logging *l = ahost__of(L)->logging;
    lua_newtable(L);
    for (int i = 0; l != NULL && i < l->count; i++) {
        push_sink_stats(L, l->sinks[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- the end ------------------------------------------------------------ */

void ahost__log_detach(ahost *h) {
    for (int i = 0; h->logging != NULL && i < h->logging->count; i++)
        ahost__log_sink_detach(h->logging->sinks[i]);
}

void ahost_log_flush(ahost *h, int milliseconds) {
    int saved_errno = errno;
    for (int i = 0; h != NULL && i < milliseconds; i++) {
        if (__atomic_load_n(&h->log_pending, __ATOMIC_SEQ_CST) == 0)
            break;
        poll(NULL, 0, 1);
    }
    errno = saved_errno;
}

/* Sinks end together; what they tell is for the program. */
void ahost__log_close(ahost *h, double seconds) {
    ahost__logging *l = h->logging;
    uint64_t give_up = uv_hrtime() + (uint64_t)(seconds * 1e9);
    ahost__log_report report;
    if (l == NULL)
        return;
    tell_reports(l);
    h->logging = NULL;
    for (int i = 0; i < l->count; i++)
        ahost__log_sink_end(l->sinks[i], give_up);
    for (int i = 0; i < l->count; i++) {
        ahost__log_sink_join(l->sinks[i], &report);
        if (report.level != 0)
            tell(h, NULL, &report);
    }
    free_logging(l);
}
