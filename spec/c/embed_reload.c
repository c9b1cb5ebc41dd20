/*
 * embed_reload.c - components written in C that are reloaded, and what a
 * program's own callbacks on the host's loop, or on its own, do with a host.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ahost_lua.h"

static int prepared, started, closed, fails, destroyed;

static char thing;

static void destroy(void *pointer) {
    assert(pointer == &thing);
    destroyed++;
}

static const ahost_type type = {
    .size = sizeof(type), .name = "thing", .destroy = destroy};

static int heard;

static void on_message(ahost *h, void *data, const char *name,
                       const ahost_value *value) {
    assert(h != NULL && data == &heard && name != NULL && value != NULL);
    heard++;
}

static int prepare(ahost_instance *self) {
    ahost_instance_set_data(self, &prepared);
    prepared++;
    return AHOST_OK;
}

/* What a failing generation has published and subscribed goes with it. */
static int start(ahost_instance *self) {
    ahost *h = ahost_instance_host(self);
    assert(ahost_instance_data(self) == &prepared);
    assert(ahost_value_integer(
               ahost_map_get(ahost_instance_config(self), "size"), 0) == 3);
    started++;
    assert(ahost_publish(h, "thing", &thing, &type) == AHOST_OK);
    assert(ahost_bus_subscribe(h, "tick", on_message, &heard, NULL) ==
           AHOST_OK);
    return fails ? ahost_instance_fail(self, "by order") : AHOST_OK;
}

static void end(ahost_instance *self) {
    assert(ahost_instance_data(self) == &prepared);
    assert(ahost_instance_config(self) != NULL);
    closed++;
}

static const ahost_component component = {.size = sizeof(component),
                                          .name = "counter",
                                          .options = "size: {type: integer}",
                                          .prepare = prepare,
                                          .start = start,
                                          .close = end};

static const ahost_component root = {.size = sizeof(root), .name = "nothing"};

/* ---- an application ------------------------------------------------------ */

static char directory[] = "/tmp/ahost-reload-XXXXXX";
static char path[256];

static void write_file(void) {
    FILE *file;
    snprintf(path, sizeof(path), "%s/app.yaml", directory);
    file = fopen(path, "w");
    assert(file != NULL);
    fputs("component:\n"
          "  type: nothing\n"
          "  components:\n"
          "    counter: {type: counter, size: 3}\n",
          file);
    assert(fclose(file) == 0);
}

static void load(ahost *h) {
    const char *files[] = {path, NULL};
    int err;
    assert(ahost_register(h, &component) == AHOST_OK);
    assert(ahost_register(h, &root) == AHOST_OK);
    err = ahost_load_config(h, files, NULL);
    if (err != AHOST_OK)
        fprintf(stderr, "%s\n", ahost_errmsg(h));
    assert(err == AHOST_OK);
}

static int reports, good;

static void on_report(ahost *h, void *data, int code,
                      const ahost_value *report) {
    assert(h != NULL && data == &reports);
    reports++;
    if (code == AHOST_OK)
        good += ahost_value_boolean(ahost_map_get(report, "ok"), 0);
}

static void reset(void) {
    prepared = started = closed = fails = destroyed = heard = 0;
    reports = good = 0;
}

static void turn_until(ahost *h, const int *count, int wanted) {
    while (*count < wanted)
        assert(ahost_step(h, 1000) == 1);
}

/* Everything is there once. */
static void check_serving(ahost *h) {
    int before = heard;
    assert(started - closed == 1);
    assert(ahost_request(h, "thing", &type) == &thing);
    assert(ahost_bus_publish(h, "tick", NULL) == AHOST_OK);
    assert(heard == before + 1);
}

/* ---- reloading ----------------------------------------------------------- */

static void reload(ahost *h) {
    int before = reports;
    assert(ahost_reload(h, "counter", on_report, &reports) == AHOST_OK);
    turn_until(h, &reports, before + 1);
}

static void test_reload(void) {
    ahost_options options = {.size = sizeof(options)};
    ahost *h;
    reset();
    assert(ahost_open(&h, &options) == AHOST_OK);
    load(h);
    turn_until(h, &started, 1);
    for (int i = 0; i < 20; i++) {
        int was_good = good;
        fails = i % 3 == 2;
        reload(h);
        assert(good == was_good + !fails);
        fails = 0;
        check_serving(h);
    }
    assert(ahost_reload(h, "nothing", on_report, &reports) == AHOST_OK);
    turn_until(h, &reports, 21);
    check_serving(h);
    ahost_stop(h);
    assert(ahost_run(h) == 0);
    assert(ahost_close(h) == AHOST_OK);
    assert(closed == prepared && destroyed == started);
}

/* The host is closed while a reload is under way: `done` is told. */
static void test_close_meanwhile(void) {
    for (int steps = 0; steps < 6; steps++) {
        ahost *h;
        reset();
        assert(ahost_open(&h, NULL) == AHOST_OK);
        load(h);
        turn_until(h, &started, 1);
        for (int i = 0; i < 3; i++)
            assert(ahost_reload(h, NULL, on_report, &reports) == AHOST_OK);
        for (int i = 0; i < steps; i++)
            ahost_step(h, 0);
        assert(ahost_close(h) == AHOST_OK);
        assert(reports == 3);
        assert(closed == prepared && destroyed == started);
    }
}

/* ---- callbacks of the program's ------------------------------------------ */

static const char listeners[] =
    "local alarm = require('ahost.signal').new()\n"
    "require('ahost.context').current():publish('alarm', alarm)\n"
    "emitted, called = 0, 0\n"
    "alarm:connect(function()\n"
    "  emitted = emitted + 1\n"
    "  require('ahost.task').yield()\n"
    "end)\n"
    "function count()\n"
    "  require('ahost.task').sleep(0.001)\n"
    "  called = called + 1\n"
    "end\n"
    "function fail() error 'by order' end\n"
    "function check(n) assert(emitted == n and called == n) end\n";

enum { ROUNDS = 50 };

static int rounds, dones, failures, posted;

static void on_done(ahost *h, void *data, int code, const ahost_value *result) {
    (void)result;
    assert(h != NULL && data == &dones);
    dones++;
    failures += code == AHOST_FAILED;
}

static void on_post(ahost *h, void *data) {
    assert(h != NULL && data == &posted);
    posted++;
}

/* A callback of libuv's that does all that may be done in one. */
static void on_timer(uv_timer_t *timer) {
    ahost *h = timer->data;
    ahost_connection *connection;
    if (rounds++ == ROUNDS) {
        uv_timer_stop(timer);
        return;
    }
    assert(ahost_emit(h, "alarm", NULL) == AHOST_OK);
    assert(ahost_call_later(h, NULL, "count", NULL, on_done, &dones) ==
           AHOST_OK);
    assert(ahost_call_later(h, NULL, "fail", NULL, on_done, &dones) ==
           AHOST_OK);
    assert(ahost_post(h, on_post, &posted, NULL) == AHOST_OK);
    assert(ahost_connect(h, "alarm", on_message, &heard, &connection) ==
           AHOST_OK);
    assert(ahost_disconnect(h, connection) == AHOST_OK);
    assert(ahost_load_string(h, "collectgarbage()", "=x") == AHOST_OK);
    assert(ahost_call(h, NULL, "count", NULL, -1, NULL) == AHOST_MISUSE ||
           h == NULL);
}

static void check_counts(ahost *h) {
    char source[64];
    assert(dones == 2 * ROUNDS && failures == ROUNDS && posted == ROUNDS);
    snprintf(source, sizeof(source), "check(%d)", ROUNDS);
    assert(ahost_load_string(h, source, "=x") == AHOST_OK);
}

static void start_timer(uv_loop_t *loop, uv_timer_t *timer, ahost *h) {
    rounds = dones = failures = posted = 0;
    assert(uv_timer_init(loop, timer) == 0);
    timer->data = h;
    assert(uv_timer_start(timer, on_timer, 0, 1) == 0);
}

/* In the host's loop. */
static void test_callbacks_inside(void) {
    ahost_options options = {.size = sizeof(options), .stay = 1};
    uv_timer_t timer;
    ahost *h;
    assert(ahost_open(&h, &options) == AHOST_OK);
    assert(ahost_load_string(h, listeners, "=x") == AHOST_OK);
    start_timer(ahost_loop(h), &timer, h);
    while (dones < 2 * ROUNDS || posted < ROUNDS || rounds <= ROUNDS)
        assert(ahost_step(h, 1000) == 1);
    check_counts(h);
    uv_close((uv_handle_t *)&timer, NULL);
    ahost_step(h, 0);
    assert(ahost_close(h) == AHOST_OK);
}

static int ended;

static void on_ended(ahost *h, void *data, int status) {
    assert(data == &ended && status == 0);
    ended++;
    assert(ahost_close(h) == AHOST_OK);
}

/* In the program's, where reloads go on meanwhile. */
static void test_callbacks_outside(void) {
    ahost_options options = {.size = sizeof(options), .stay = 1};
    uv_loop_t loop;
    uv_timer_t timer;
    ahost *h;
    reset();
    ended = 0;
    assert(uv_loop_init(&loop) == 0);
    assert(ahost_open_on_loop(&h, &options, &loop, on_ended, &ended) ==
           AHOST_OK);
    assert(ahost_load_string(h, listeners, "=x") == AHOST_OK);
    load(h);
    while (started == 0)
        uv_run(&loop, UV_RUN_ONCE);
    start_timer(&loop, &timer, h);
    while (dones < 2 * ROUNDS || posted < ROUNDS || rounds <= ROUNDS) {
        if (reports == good && reports < 10 && started == reports + 1)
            assert(ahost_reload(h, "counter", on_report, &reports) == AHOST_OK);
        uv_run(&loop, UV_RUN_ONCE);
    }
    check_counts(h);
    check_serving(h);
    uv_close((uv_handle_t *)&timer, NULL);
    ahost_stop(h);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert(ended == 1 && uv_loop_close(&loop) == 0);
    assert(closed == prepared && destroyed == started);
}

int main(void) {
    alarm(50);
    assert(mkdtemp(directory) != NULL);
    write_file();
    test_reload();
    test_close_meanwhile();
    test_callbacks_inside();
    test_callbacks_outside();
    assert(remove(path) == 0 && rmdir(directory) == 0);
    return 0;
}
