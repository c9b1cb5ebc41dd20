/*
 * watchdog.c - code that keeps the loop, as a program sees it through ahost.h.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ahost.h"

typedef struct record {
    int count, stalled;
    char text[4096];
} record;

static void on_record(void *data, const ahost_record *one) {
    record *last = data;
    last->count++;
    last->stalled += strcmp(one->logger, "ahost.watchdog") == 0;
    snprintf(last->text, sizeof(last->text), "%s: %s", one->logger, one->text);
}

static ahost *running;

static void on_signal(int number) {
    (void)number;
    ahost_interrupted(running);
}

static void interrupt_thread(void *thread) {
    pthread_kill(*(pthread_t *)thread, SIGURG);
}

static void count_blocked(void *data, double seconds, unsigned task) {
    assert(seconds > 0 && task > 0);
    __atomic_add_fetch((int *)data, 1, __ATOMIC_SEQ_CST);
}

static int run(ahost_options *options, const char *source, record *last) {
    int status;
    memset(last, 0, sizeof(*last));
    options->size = sizeof(*options);
    options->log = on_record;
    options->log_data = last;
    alarm(30);
    assert(ahost_open(&running, options) == AHOST_OK);
    assert(ahost_load_string(running, source, "=test") != AHOST_SYNTAX);
    status = ahost_run(running);
    ahost_close(running);
    running = NULL;
    return status;
}

static void test_a_stall_is_ended(pthread_t *self) {
    ahost_options options = {.stall_kill = 0.05,
                             .interrupt = interrupt_thread,
                             .interrupt_data = self};
    record last;
    assert(run(&options, "while true do end", &last) == 1);
    assert(strstr(last.text, "stalled: kept the loop") != NULL);
}

/* Without a handler it is noticed in the next allocation. */
static void test_without_a_handler(void) {
    ahost_options options = {.stall = 0.05, .stall_kill = 0.1};
    record last;
    assert(run(&options, "while true do local t = {} end", &last) == 1);
    assert(last.stalled == 1);
    assert(strstr(last.text, "stalled: kept the loop") != NULL);
}

static void test_blocking_is_told(pthread_t *self) {
    int blocked = 0;
    ahost_options options = {.stall = 0.05,
                             .interrupt = interrupt_thread,
                             .interrupt_data = self,
                             .blocked = count_blocked,
                             .blocked_data = &blocked};
    record last;
    assert(run(&options, "os.execute('sleep 0.4') local x = 1", &last) == 0);
    assert(blocked == 1 && last.stalled == 1);
}

static volatile int ended;

static void *interrupt_until_it_ends(void *unused) {
    (void)unused;
    while (!__atomic_load_n(&ended, __ATOMIC_SEQ_CST)) {
        ahost_interrupt(running);
        usleep(2000);
    }
    return NULL;
}

/* Interrupts come at any moment of a life: in coroutines, between them, during
 * collections, while tasks fail and while nothing runs. */
static void test_interrupts(pthread_t *self) {
    ahost_options options = {.size = sizeof(options),
                             .interrupt = interrupt_thread,
                             .interrupt_data = self};
    record last = {0};
    pthread_t thread;
    options.log = on_record;
    options.log_data = &last;
    alarm(30);
    assert(ahost_open(&running, &options) == AHOST_OK);
    assert(ahost_load_string(
               running,
               "local context, task = require 'ahost.context', require "
               "'ahost.task'\n"
               "task.yield() -- until another thread interrupts\n"
               "local function work()\n"
               "  coroutine.wrap(function()\n"
               "    for i = 1, 1e9 do\n"
               "      coroutine.wrap(function() return {i} end)()\n"
               "      pcall(string.rep, 'x', i % 10)\n"
               "    end\n"
               "  end)()\n"
               "end\n"
               "local count = 0\n"
               "local function rounds()\n"
               "  while count < 200 do\n"
               "    count = count + 1\n"
               "    task.spawn(work):join()\n"
               "  end\n"
               "end\n"
               "context.scope({on_error = 'log'}, function()\n"
               "  repeat\n"
               "    pcall(rounds)\n"
               "  until count >= 200\n"
               "end)\n",
               "=test") == AHOST_OK);
    assert(pthread_create(&thread, NULL, interrupt_until_it_ends, NULL) == 0);
    ahost_run(running);
    __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    assert(ahost_interrupt(running) == 0);
    ahost_close(running);
    running = NULL;
    /* Each round ended, by an interrupt of its task (logged) or of the loop
     * around it: how many of which depends on how the threads are scheduled. */
    assert(last.count > 0);
}

int main(void) {
    pthread_t self = pthread_self();
    signal(SIGURG, on_signal);
    ahost_interrupted(NULL);
    assert(ahost_interrupt(NULL) == 0);
    test_a_stall_is_ended(&self);
    test_without_a_handler();
    test_blocking_is_told(&self);
    test_interrupts(&self);
    return 0;
}
