/*
 * log.c - records that a C program logs: they go where those of scripts go.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ahost.h"
#include "ahost_lua.h"

static char last[200];  /* record */
static char heard[600]; /* all records */
static int count;

static void keep(void *data, const ahost_record *record) {
    assert(data == &count);
    snprintf(last, sizeof(last), "%d %s %s", record->level, record->logger,
             record->text);
    strncat(heard, last, sizeof(heard) - strlen(heard) - 1);
    count++;
}

static void run(ahost *host, const char *script) {
    assert(ahost_load_string(host, script, "=script") == AHOST_OK);
    assert(ahost_run(host) == 0);
}

/* What the file has; removes it. */
static const char *contents(const char *path) {
    static char text[400];
    FILE *file = fopen(path, "r");
    size_t size;
    assert(file != NULL);
    size = fread(text, 1, sizeof(text) - 1, file);
    text[size] = '\0';
    fclose(file);
    unlink(path);
    return text;
}

static void test_program(void) {
    ahost_options options = {
        .size = sizeof(options), .log = keep, .log_data = &count};
    ahost *host;
    assert(ahost_open(&host, &options) == AHOST_OK);
    ahost_log(host, AHOST_LOG_INFO, "c.part", "not %s", "heard");
    assert(count == 0);
    ahost_log(host, AHOST_LOG_ERROR, "c.part", "%d heard", 1);
    assert(strcmp(last, "40 c.part 1 heard") == 0);
    ahost_log(NULL, AHOST_LOG_ERROR, "c.part", "nobody");
    ahost_log_flush(host, 1000);
    ahost_close(host);
    assert(count == 1);
}

static void test_file(void) {
    ahost_options options = {
        .size = sizeof(options), .log = keep, .log_data = &count};
    ahost *host;
    assert(ahost_open(&host, &options) == AHOST_OK);
    run(host, "assert(require('ahost.log').configure({file = {"
              "path = 'test_log.tmp', format = '%(name)s %(message)s'}}))");
    ahost_log(host, AHOST_LOG_ERROR, "c.part", "flushed");
    ahost_log_flush(host, 10000);
    assert(strcmp(contents("test_log.tmp"), "c.part flushed\n") == 0);
    ahost_close(host);
    assert(count == 1);
}

/* What is wrong with a log is for the program to hear, also at the end. */
static void test_trouble(void) {
    ahost_options options = {
        .size = sizeof(options), .log = keep, .log_data = &count};
    ahost *host;
    assert(ahost_open(&host, &options) == AHOST_OK);
    run(host, "assert(require('ahost.log').configure({file = {"
              "path = '/dev/full'}}))");
    ahost_log(host, AHOST_LOG_ERROR, "c.part", "lost");
    ahost_close(host);
    assert(strstr(heard, "40 ahost.log log file /dev/full: no space left") !=
           NULL); /* in a record of its own, or with the next */
    assert(strstr(heard, "at the end dropped 1 record") != NULL);
}

int main(void) {
    test_program();
    test_file();
    test_trouble();
    return 0;
}
