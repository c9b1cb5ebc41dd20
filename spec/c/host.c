/*
 * Opening, loading, running, stopping and closing a host through ahost.h.
 */
#include "ahost.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct record {
    int count, level;
    char text[4096];
} record;

/* Keeps the latest record of a host. */
static void on_record(void *data, const ahost_record *one) {
    record *last = data;
    last->count++;
    last->level = one->level;
    snprintf(last->text, sizeof(last->text), "%s: %s", one->logger, one->text);
}

static ahost *open_with(record *last) {
    ahost_options options = {.size = sizeof(options),
                             .log = on_record,
                             .log_data = last,
                             .stop_timeout = 0.05};
    ahost *h;
    memset(last, 0, sizeof(*last));
    assert(ahost_open(&h, &options) == AHOST_OK);
    return h;
}

static int run(const char *source, record *last) {
    ahost *h = open_with(last);
    int status;
    assert(ahost_load_string(h, source, "=test") != AHOST_SYNTAX);
    status = ahost_run(h);
    ahost_close(h);
    return status;
}

static void test_bad_use(void) {
    ahost_options options = {0};
    ahost *h;
    assert(ahost_open(NULL, NULL) == AHOST_MISUSE);
    assert(ahost_open(&h, &options) == AHOST_MISUSE);
    assert(ahost_load_string(NULL, "", "=x") == AHOST_MISUSE);
    assert(ahost_load_file(NULL, "x") == AHOST_MISUSE);
    assert(ahost_run(NULL) == AHOST_MISUSE);
    assert(strcmp(ahost_errmsg(NULL), "the host is NULL") == 0);
    ahost_stop(NULL);
    ahost_close(NULL);

    assert(ahost_open(&h, NULL) == AHOST_OK);
    assert(strcmp(ahost_errmsg(h), "") == 0);
    assert(ahost_load_string(h, NULL, "=x") == AHOST_MISUSE);
    assert(ahost_load_string(h, "", NULL) == AHOST_MISUSE);
    assert(ahost_load_file(h, NULL) == AHOST_MISUSE);
    assert(ahost_load_string(h, "", "=x") == AHOST_OK);
    assert(ahost_load_string(h, "", "=x") == AHOST_OK); /* a second one */
    assert(ahost_run(h) == 0);
    assert(ahost_run(h) == 0); /* it has ended */
    assert(ahost_load_string(h, "", "=x") == AHOST_ENDED);
    ahost_stop(h); /* too late, and harmless */
    ahost_close(h);
}

/* A program built against an older header has a shorter structure. */
static void test_short_options(void) {
    ahost_options options = {.size = sizeof(size_t), .memory_limit = 1};
    ahost *h;
    assert(ahost_open(&h, &options) == AHOST_OK);
    ahost_close(h);
}

static void test_failed_loads(void) {
    ahost *h;
    assert(ahost_open(&h, NULL) == AHOST_OK);
    assert(ahost_load_string(h, "x = = 1", "=x") == AHOST_SYNTAX);
    assert(strstr(ahost_errmsg(h), "x:1:") != NULL);
    assert(ahost_load_file(h, "/nowhere/at.all") == AHOST_NOT_FOUND);
    assert(strstr(ahost_errmsg(h), "/nowhere/at.all") != NULL);
    assert(ahost_load_file(h, "/") == AHOST_NOT_FOUND);
    assert(ahost_load_string(h, "\x1bLua", "=x") == AHOST_SYNTAX);
    assert(ahost_load_string(h, "", "=x") == AHOST_OK); /* may try again */
    assert(ahost_run(h) == 0);
    ahost_close(h);
}

static void test_no_script(void) {
    ahost *h;
    assert(ahost_open(&h, NULL) == AHOST_OK);
    assert(ahost_run(h) == 0);
    ahost_close(h);
}

static void test_open_and_close_often(void) {
    for (int i = 0; i < 1000; i++) {
        ahost *h;
        assert(ahost_open(&h, NULL) == AHOST_OK);
        if (i % 2 == 0)
            assert(ahost_load_string(h, "require 'ahost.task'.sleep(1000)",
                                     "=x") == AHOST_OK);
        ahost_close(h); /* without having run */
    }
}

static void test_failures(void) {
    record last;
    assert(run("error 'boom'", &last) == 1);
    assert(strstr(last.text, "main: test:1: boom\nstack traceback:") != NULL);
    assert(last.level == AHOST_LOG_ERROR);
    assert(run("require 'ahost.host'.stop(7)", &last) == 7);
    assert(last.count == 0);
    assert(run("local t = require 'ahost.task'\n"
               "local me = t.current()\n"
               "t.spawn(function() me:join() end):join()",
               &last) == 1);
    assert(strstr(last.text, "waits for ever: join at test:3") != NULL);
}

/* What does not end in time is named and left alone, and costs nothing. */
static void test_abandoned(void) {
    record last;
    static const char source[] =
        "local task, context = require 'ahost.task', require 'ahost.context'\n"
        "context.new():spawn('stubborn', function()\n"
        "  pcall(task.sleep, 1000)\n"
        "  task.timeout(2000, function()\n"
        "    context.scope(function()\n"
        "      task.shield(task.sleep, 1000)\n"
        "    end)\n"
        "  end)\n"
        "end)\n"
        "task.yield()\n"
        "require 'ahost.host'.stop()\n";
    assert(run(source, &last) == 1);
    assert(strstr(last.text, "stubborn did not end in time and is abandoned: "
                             "sleep at test:6") != NULL);
}

static void test_late_callbacks(void) {
    record last;
    static const char source[] =
        "local task, context = require 'ahost.task', require 'ahost.context'\n"
        "local ctx = context.new()\n"
        "local log = {}\n"
        "ctx:on_close(function() log[#log + 1] = 'older' end)\n"
        "ctx:on_close(function()\n"
        "  local _, err = pcall(task.sleep, 1000)\n"
        "  log[#log + 1] = err.code\n"
        "  task.sleep(1000)\n"
        "end)\n"
        "local result, err = ctx:close()\n"
        "assert(not result and err.errors[1].code == 'CANCELLED')\n"
        "assert(table.concat(log, ' ') == 'CANCELLED older')\n"
        "task.yield()\n";
    assert(run(source, &last) == 0);
    assert(last.count == 0);
}

/* A context whose task does not end is closed all the same. */
static void test_close_goes_on(void) {
    record last;
    static const char source[] =
        "local task, context = require 'ahost.task', require 'ahost.context'\n"
        "local ctx = context.new()\n"
        "local stubborn = ctx:spawn(function()\n"
        "  task.shield(task.sleep, 0.2)\n"
        "  assert(not pcall(context.new))\n"
        "  return 'ended'\n"
        "end)\n"
        "local called\n"
        "ctx:on_close(function() called = true end)\n"
        "task.yield()\n"
        "assert(ctx:close())\n"
        "assert(called and ctx:state() == 'closed')\n"
        "assert(stubborn:status() == 'running')\n"
        "assert(stubborn:join() == 'ended')\n";
    assert(run(source, &last) == 1);
    assert(last.count == 1);
    assert(strstr(last.text, "is abandoned") != NULL);
}

/* A scope whose owner does not leave it is taken from it. */
static void test_stubborn_scope(void) {
    record last;
    static const char source[] =
        "local task, context = require 'ahost.task', require 'ahost.context'\n"
        "local scope\n"
        "local owner = task.spawn(context.scope, function(ctx)\n"
        "  scope = ctx\n"
        "  task.shield(task.sleep, 0.2)\n"
        "  task.sleep(1000)\n"
        "end)\n"
        "task.yield()\n"
        "assert(scope:close())\n"
        "assert(scope:state() == 'closed', scope:state())\n"
        "local _, err = owner:join()\n"
        "assert(err.code == 'CLOSED', tostring(err))\n";
    assert(run(source, &last) == 0);
}

static void *stop_from_thread(void *h) {
    usleep(10000);
    ahost_stop(h);
    return NULL;
}

static void test_stop(void) {
    record last;
    pthread_t thread;
    ahost *h = open_with(&last);
    assert(ahost_load_string(h, "require 'ahost.task'.sleep(1000)", "=x") ==
           AHOST_OK);
    assert(pthread_create(&thread, NULL, stop_from_thread, h) == 0);
    assert(ahost_run(h) == 0);
    pthread_join(thread, NULL);
    ahost_close(h);

    h = open_with(&last);
    ahost_stop(h); /* before anything is loaded */
    assert(ahost_load_string(h, "require 'ahost.task'.sleep(1000)", "=x") ==
           AHOST_OK);
    assert(ahost_run(h) == 0);
    ahost_close(h);

    h = open_with(&last);
    ahost_stop(h);
    ahost_close(h);
}

static void test_arguments(void) {
    record last;
    static char a[] = "a", empty[] = "", c[] = "c";
    static char *arguments[] = {a, empty, c};
    ahost_options options = {.size = sizeof(options),
                             .log = on_record,
                             .log_data = &last,
                             .argc = 3,
                             .argv = arguments};
    ahost *h;
    assert(ahost_open(&h, &options) == AHOST_OK);
    assert(ahost_load_string(
               h,
               "assert(select('#', ...) == 3 and select(3, ...) == 'c')\n"
               "assert(require 'ahost.host'.args[2] == '')",
               "=x") == AHOST_OK);
    assert(ahost_run(h) == 0);
    ahost_close(h);
}

int main(void) {
    test_bad_use();
    test_short_options();
    test_failed_loads();
    test_no_script();
    test_open_and_close_often();
    test_failures();
    test_abandoned();
    test_late_callbacks();
    test_close_goes_on();
    test_stubborn_scope();
    test_stop();
    test_arguments();
    return 0;
}
