/*
 * passed_signals.c - a program that handles process signals itself and passes
 * them on to its host.
 */
#include <assert.h>
#include <signal.h>
#include <string.h>

#include "ahost.h"

static ahost *running;
static volatile sig_atomic_t heard;

static void on_signal(int number) {
    heard = ahost_signal(running, number);
}

/* Runs a script during whose first turn the signal arrives. */
static int run(const char *source) {
    static const int signals[] = {SIGUSR1, 0};
    ahost_options options = {.size = sizeof(options), .signals = signals};
    struct sigaction after;
    int status;
    assert(ahost_open(&running, &options) == AHOST_OK);
    assert(ahost_load_string(running, source, "=script") == AHOST_OK);
    status = ahost_run(running);
    sigaction(SIGUSR1, NULL, &after);
    assert(after.sa_handler == on_signal);
    ahost_close(running);
    return status;
}

static void test_the_script_decides(void) {
    assert(run("local process = require 'ahost.process'\n"
               "local host = require 'ahost.host'\n"
               "process.signal('USR1'):connect(function(event)\n"
               "  host.stop(event.number == 10 and 7 or 8)\n"
               "end)\n"
               "os.execute('kill -USR1 ' .. process.pid)\n"
               "require('ahost.task').sleep(60)") == 7);
    assert(heard == 1);
}

static void test_without_listeners_it_stops_the_host(void) {
    assert(run("local process = require 'ahost.process'\n"
               "process.signal('USR1'):connect(print):close()\n"
               "os.execute('kill -USR1 ' .. process.pid)\n"
               "require('ahost.task').sleep(60)") == 0);
    assert(heard == 0);
}

static void test_a_script_that_knows_of_nothing_is_stopped(void) {
    assert(run("local file = io.open('/proc/self/stat')\n"
               "os.execute('kill -USR1 ' .. file:read('n'))\n"
               "file:close()\n"
               "require('ahost.task').sleep(60)") == 0);
    assert(heard == 0);
}

static void test_misuse_does_nothing(void) {
    assert(ahost_signal(NULL, SIGUSR1) == 0);
    assert(ahost_open(&running, NULL) == AHOST_OK);
    assert(ahost_signal(running, 0) == 0);
    assert(ahost_signal(running, -1) == 0);
    assert(ahost_signal(running, 1000) == 0);
    ahost_close(running);
}

int main(void) {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    test_the_script_decides();
    test_without_listeners_it_stops_the_host();
    test_a_script_that_knows_of_nothing_is_stopped();
    test_misuse_does_nothing();
    return 0;
}
