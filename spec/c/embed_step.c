/*
 * embed_step.c - a host in a loop of the program's: in steps, by poll(2), and
 * on a loop of libuv; loading and what goes wrong with it.
 */
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ahost_lua.h"

static char last[4096], json[256];

static void on_record(void *data, const ahost_record *record) {
    (void)data;
    snprintf(last, sizeof(last), "%s: %s", record->logger, record->text);
    snprintf(json, sizeof(json), "%s",
             record->json != NULL ? record->json : "none");
}

static ahost *open_host(int stay) {
    ahost_options options = {
        .size = sizeof(options), .log = on_record, .stay = stay};
    ahost *h;
    last[0] = '\0';
    assert(ahost_open(&h, &options) == AHOST_OK);
    return h;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Code runs when it is loaded, up to where it waits. */
static void test_up_to_the_first_await(void) {
    ahost *h = open_host(0);
    assert(ahost_load_string(h,
                             "local task = require 'ahost.task'\n"
                             "x = 1; task.sleep(0.01); x = 2\n",
                             "=a") == AHOST_OK);
    assert(ahost_load_string(h, "assert(x == 1)", "=b") == AHOST_OK);
    while (ahost_step(h, 100) == 1)
        continue;
    assert(ahost_has_ended(h));
    assert(ahost_exit_status(h) == 0);
    assert(ahost_close(h) == AHOST_OK);
}

static void test_a_load_that_fails(void) {
    ahost *h = open_host(0);
    assert(ahost_load_string(h, "local function f() error 'boom' end\nf()",
                             "=a") == AHOST_FAILED);
    assert(strstr(ahost_errmsg(h), "a:1: boom\nstack traceback:") != NULL);
    assert(strstr(last, "main: a:1: boom\nstack traceback:") != NULL);
    assert(ahost_load_string(h, "", "=b") == AHOST_ENDED);
    assert(ahost_run(h) == 1);
    ahost_close(h);
    h = open_host(0);
    assert(ahost_load_string(h, "error({code = 7})", "=a") == AHOST_FAILED);
    assert(ahost_run(h) == 1);
    ahost_close(h);
    h = open_host(0); /* later ones are no failures of the load */
    assert(ahost_load_string(h, "require 'ahost.task'.yield() error 'late'",
                             "=a") == AHOST_OK);
    assert(ahost_run(h) == 1 && strstr(last, "late") != NULL);
    ahost_close(h);
}

/* Records come with their data. */
static void test_records(void) {
    ahost *h = open_host(0);
    assert(ahost_load_string(h,
                             "local log = require('ahost.log').get 'a.b'\n"
                             "log:warning('%d items', 3, {items = {1, 'x'}})",
                             "=a") == AHOST_OK);
    assert(strncmp(last, "a.b: ", 5) == 0 && strstr(last, "3 items") != NULL);
    assert(strcmp(json, "{\"items\":[1,\"x\"]}") == 0);
    assert(ahost_load_string(h, "require('ahost.log').get 'a':error 'plain'",
                             "=b") == AHOST_OK);
    assert(strcmp(last, "a: plain") == 0 && strcmp(json, "none") == 0);
    ahost_close(h);
}

static void test_steps(void) {
    ahost *h = open_host(1);
    double begun;
    assert(ahost_load_string(h,
                             "local task = require 'ahost.task'\n"
                             "count = 0\n"
                             "task.spawn(function()\n"
                             "  for i = 1, 5 do task.yield() count = i end\n"
                             "end)",
                             "=a") == AHOST_OK);
    for (int i = 0; i < 20; i++)
        assert(ahost_step(h, 0) == 1);
    assert(ahost_load_string(h, "assert(count == 5)", "=b") == AHOST_OK);
    begun = seconds();
    assert(ahost_step(h, 30) == 1); /* nothing happens: it stays, and waits */
    assert(seconds() - begun > 0.02);
    ahost_stop(h);
    while (ahost_step(h, -1) == 1)
        continue;
    assert(ahost_step(h, 0) == 0);
    ahost_close(h);

    h = open_host(0); /* ends at once: nothing is to be done */
    assert(ahost_step(h, 0) == 0);
    ahost_close(h);
}

/* Tasks that nothing can wake end the host in steps, too. */
static void test_stuck(void) {
    ahost *h = open_host(0);
    assert(ahost_load_string(h, "require 'ahost.sync'.event():wait()", "=a") ==
           AHOST_OK);
    for (int i = 0; i < 10 && ahost_step(h, 100) == 1; i++)
        continue;
    assert(ahost_has_ended(h) && ahost_exit_status(h) == 1);
    ahost_close(h);
}

static const char server[] =
    "local net, task = require 'ahost.net', require 'ahost.task'\n"
    "local server = net.serve('127.0.0.1:0', function(s)\n"
    "  for line in s:lines() do s:write(line, '\\n') end\n"
    "end)\n"
    "task.spawn(function()\n"
    "  local s = assert(net.connect(server:address()))\n"
    "  for i = 1, 20 do\n"
    "    s:write(i, '\\n')\n"
    "    assert(s:read_line(5) == tostring(i))\n"
    "    task.sleep(0.001)\n"
    "  end\n"
    "  done = true\n"
    "  server:close()\n"
    "end)\n";

static void test_poll(void) {
    ahost *h = open_host(0);
    int rounds = 0;
    struct pollfd wanted = {.fd = ahost_fd(h), .events = POLLIN};
    assert(wanted.fd >= 0);
    assert(ahost_load_string(h, server, "=server") == AHOST_OK);
    do {
        int timeout = ahost_timeout(h);
        assert(poll(&wanted, 1,
                    timeout >= 0 && timeout < 5000 ? timeout : 5000) >= 0);
        assert(++rounds < 5000); /* it sleeps in between */
    } while (ahost_step(h, 0) == 1);
    assert(ahost_exit_status(h) == 0);
    assert(ahost_fd(h) == wanted.fd);
    ahost_close(h);
}

/* A host that waits for nothing lets the program sleep. */
static void test_idle_timeout(void) {
    ahost *h = open_host(1);
    for (int i = 0; i < 5; i++)
        ahost_step(h, 0);
    assert(ahost_timeout(h) == -1);
    assert(ahost_load_string(h, "require 'ahost.task'.sleep(100)", "=a") ==
           AHOST_OK);
    for (int i = 0; i < 5; i++)
        ahost_step(h, 0);
    assert(ahost_timeout(h) > 90000 && ahost_timeout(h) <= 100100);
    ahost_close(h);
}

/* ---- on a loop of the program's ----------------------------------------- */

static int ends;

static void on_end(ahost *h, void *data, int status) {
    assert(data == &ends && status == 3);
    ends++;
    assert(ahost_close(h) == AHOST_OK);
}

static int ticks;

static void on_tick(uv_timer_t *timer) {
    ticks++;
    if (ends > 0)
        uv_close((uv_handle_t *)timer, NULL);
}

static void test_on_loop(void) {
    ahost_options options = {.size = sizeof(options), .log = on_record};
    uv_loop_t loop;
    uv_timer_t timer;
    ahost *h, *other;
    uv_loop_init(&loop);
    loop.data = &ends; /* the program's, and left alone */
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_tick, 1, 1);
    ends = ticks = 0;
    assert(ahost_open_on_loop(&h, &options, &loop, on_end, &ends) == AHOST_OK);
    assert(ahost_run(h) == AHOST_MISUSE && ahost_step(h, 0) == AHOST_MISUSE);
    assert(strstr(ahost_errmsg(h), "program's own loop") != NULL);
    assert(ahost_load_string(h, server, "=server") == AHOST_OK);
    assert(ahost_load_string(h,
                             "local task = require 'ahost.task'\n"
                             "while not done do task.sleep(0.001) end\n"
                             "require 'ahost.host'.stop(3)",
                             "=a") == AHOST_OK);
    /* One that is closed in the middle */
    assert(ahost_open_on_loop(&other, &options, &loop, NULL, NULL) == AHOST_OK);
    assert(ahost_load_string(other, "require 'ahost.task'.sleep(1000)", "=a") ==
           AHOST_OK);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert(ahost_close(other) == AHOST_OK);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert(ends == 1 && ticks > 5 && loop.data == &ends);
    assert(uv_loop_close(&loop) == 0);
}

/* The program's loop sleeps while the host does, and ends with it. */
static void test_on_loop_alone(void) {
    ahost_options options = {.size = sizeof(options), .log = on_record};
    uv_loop_t loop;
    ahost *h;
    clock_t used = clock();
    uv_loop_init(&loop);
    ends = 0;
    assert(ahost_open_on_loop(&h, &options, &loop, on_end, &ends) == AHOST_OK);
    assert(ahost_load_string(h,
                             "require 'ahost.task'.sleep(0.3)\n"
                             "require 'ahost.host'.stop(3)",
                             "=a") == AHOST_OK);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert(ends == 1);
    assert((double)(clock() - used) / CLOCKS_PER_SEC < 0.25);
    assert(uv_loop_close(&loop) == 0);
    assert(ahost_open_on_loop(&h, &options, NULL, NULL, NULL) == AHOST_MISUSE);
    assert(h == NULL);
}

int main(void) {
    alarm(50);
    test_up_to_the_first_await();
    test_a_load_that_fails();
    test_records();
    test_steps();
    test_stuck();
    test_poll();
    test_idle_timeout();
    test_on_loop();
    test_on_loop_alone();
    return 0;
}
