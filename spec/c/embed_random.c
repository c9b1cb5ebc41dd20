/*
 * embed_random.c - whatever a program does with its hosts, from outside and in
 * callbacks: it ends well, with codes for what cannot be.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ahost.h"

#if defined(__SANITIZE_THREAD__)
enum { SEEDS = 6 };
#else
enum { SEEDS = 60 };
#endif
enum { HOSTS = 2, STEPS = 400, CONNECTIONS = 4 };

typedef struct world {
    ahost *hosts[HOSTS];
    ahost_connection *connections[HOSTS][CONNECTIONS];
    int calls;             /* that `done` was promised for */
    int posts;             /* of which one function each was promised */
    int things, destroyed; /* published */
    unsigned random;
    int depth;
} world;

static world w;

static unsigned pick(unsigned count) {
    w.random = w.random * 1103515245 + 12345;
    return (w.random >> 16) % count;
}

static void act(int host);

/* In callbacks programs do things as well. */
static void act_inside(ahost *h) {
    if (w.depth > 2)
        return;
    w.depth++;
    for (int i = 0; i < HOSTS; i++)
        if (w.hosts[i] == h && pick(2))
            act(i);
    w.depth--;
}

static void destroy(void *pointer) {
    w.destroyed++;
    free(pointer);
}

static int method(ahost_invocation *call, void *pointer) {
    *(char *)pointer = 1;
    act_inside(ahost_invocation_host(call));
    switch (pick(4)) {
    case 0:
        return ahost_fail(call, NULL, "by chance");
    case 1:
        return ahost_raise(call, "by chance");
    default:
        return ahost_return(
            call, ahost_value_copy(ahost_argument(call, 1, AHOST_ANY)));
    }
}

static const ahost_method methods[] = {{"act", method}, {NULL, NULL}};
static const ahost_type type = {.size = sizeof(type),
                                .name = "thing",
                                .methods = methods,
                                .destroy = destroy};

static void on_event(ahost *h, void *data, const char *name,
                     const ahost_value *value) {
    (void)value;
    assert(data == &w && name != NULL);
    act_inside(h);
}

static void on_done(ahost *h, void *data, int code, const ahost_value *result) {
    (void)code;
    (void)result;
    assert(data == &w);
    w.calls--;
    act_inside(h);
}

static void on_post(ahost *h, void *data) {
    assert(data == &w);
    w.posts--;
    act_inside(h);
}

static void on_drop(void *data) {
    assert(data == &w);
    w.posts--;
}

static const char *const scripts[] = {
    "local s = require('ahost.signal').new()\n"
    "require('ahost.context').current():publish('alarm', s)\n"
    "s:connect(function() require('ahost.task').yield() end)\n",
    "require('ahost.task').sleep(0.001)",
    "local t = require('ahost.context').current():get 'thing'\n"
    "if t then pcall(t.act, t, {1, {x = 2}}) end\n",
    "require('ahost.context').new():spawn(function()\n"
    "  require('ahost.task').sleep(1000)\n"
    "end)\n",
    "function f(...) require('ahost.task').yield() return {...} end\n"
    "function g() error 'by chance' end\n",
    "return {start = function(self, ctx)\n"
    "  ctx:require('bus'):subscribe('message', function() end)\n"
    "end}\n",
    "collectgarbage()",
    "x = = 1",
};

static ahost_value *random_value(int depth) {
    ahost_value *list;
    switch (pick(depth > 3 ? 4 : 6)) {
    case 0:
        return ahost_make_null();
    case 1:
        return ahost_make_boolean(1);
    case 2:
        return ahost_make_number(1.5);
    case 3:
        return ahost_make_string("text");
    case 4:
        list = ahost_make_list();
        for (unsigned i = pick(4); i > 0; i--)
            ahost_list_add(list, random_value(depth + 1));
        return list;
    default:
        list = ahost_make_map();
        for (unsigned i = pick(4); i > 0; i--)
            ahost_map_set(list, i > 1 ? "a" : "b", random_value(depth + 1));
        return list;
    }
}

static void publish(ahost *h) {
    char *thing = calloc(1, 1);
    int err = ahost_publish(h, pick(2) ? "thing" : "thing/other", thing, &type);
    if (err == AHOST_OK)
        w.things++;
    else
        free(thing);
}

static void call(ahost *h) {
    static const char *const names[] = {"f", "g", "print.x", "a.module:f"};
    ahost_value *value = random_value(0);
    const char *component = pick(5) == 0 ? "" : NULL;
    const char *name = names[pick(4)];
    w.calls++;
    if (ahost_call_later(h, component, name, value, on_done, &w) != AHOST_OK)
        w.calls--;
    ahost_call(h, component, name, value, 0.001, NULL);
    ahost_value_free(value);
}

static void tell(ahost *h) {
    ahost_value *value = random_value(0);
    ahost_emit(h, "alarm", value);
    ahost_bus_publish(h, "message", value);
    ahost_value_free(value);
}

static void connect(int host) {
    ahost_connection **one = &w.connections[host][pick(CONNECTIONS)];
    ahost *h = w.hosts[host];
    if (*one != NULL) {
        ahost_connection *old = *one;
        *one = NULL;
        ahost_disconnect(h, old);
        return;
    }
    if (pick(2))
        ahost_connect(h, "alarm", on_event, &w, one);
    else
        ahost_bus_subscribe(h, pick(2) ? "message" : "app.stop", on_event, &w,
                            one);
}

static void load(ahost *h) {
    ahost_load_string(h, scripts[pick(sizeof(scripts) / sizeof(*scripts))],
                      "=random");
}

static void post(ahost *h) {
    w.posts++;
    if (ahost_post(h, on_post, &w, on_drop) != AHOST_OK)
        w.posts--;
}

static void open_host(int host) {
    ahost_options options = {.size = sizeof(options),
                             .stay = pick(4) != 0,
                             .stop_timeout = 0.01,
                             .memory_limit = pick(4) ? 0 : 3 << 20};
    assert(ahost_open(&w.hosts[host], &options) == AHOST_OK);
}

static void close_host(int host) {
    ahost *h = w.hosts[host];
    int err = ahost_close(h);
    assert(err == AHOST_OK || (err == AHOST_MISUSE && w.depth > 0));
    if (err != AHOST_OK)
        return;
    memset(w.connections[host], 0, sizeof(w.connections[host]));
    open_host(host);
}

static void act(int host) {
    ahost *h = w.hosts[host];
    switch (pick(24)) {
    case 0:
        if (pick(16) == 0)
            ahost_stop(h);
        return;
    case 1:
        if (pick(8) == 0)
            close_host(host);
        return;
    case 2:
    case 3:
    case 4:
        load(h);
        return;
    case 5:
    case 6:
        publish(h);
        return;
    case 7:
        ahost_request(h, "thing", &type);
        return;
    case 8:
    case 9:
    case 10:
        call(h);
        return;
    case 11:
    case 12:
    case 13:
        tell(h);
        return;
    case 14:
    case 15:
        connect(host);
        return;
    case 16:
    case 17:
        post(h);
        return;
    case 18:
        ahost_reload(h, NULL, NULL, NULL);
        return;
    case 19:
        ahost_timeout(h);
        return;
    default:
        ahost_step(h, (int)pick(2));
    }
}

static void live(unsigned seed) {
    memset(&w, 0, sizeof(w));
    w.random = seed;
    for (int i = 0; i < HOSTS; i++)
        open_host(i);
    for (int i = 0; i < STEPS; i++)
        act((int)pick(HOSTS));
    for (int i = 0; i < HOSTS; i++)
        assert(ahost_close(w.hosts[i]) == AHOST_OK);
    assert(w.calls == 0 && w.posts == 0);
    assert(w.things == w.destroyed);
}

int main(int argc, char **argv) {
    unsigned first = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    unsigned last = argc > 2 ? (unsigned)atoi(argv[2]) : first + SEEDS;
    alarm(argc > 2 ? 0 : 55);
    for (unsigned seed = first; seed < last; seed++)
        live(seed);
    return 0;
}
