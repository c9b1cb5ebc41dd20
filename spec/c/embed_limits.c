/*
 * embed_limits.c - memory, endless loops, versions of options; hosts that come
 * and go by the thousand.
 */
#include <assert.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ahost.h"

static ahost *open_with(ahost_options *options) {
    ahost *h;
    options->size = sizeof(*options);
    assert(ahost_open(&h, options) == AHOST_OK);
    return h;
}

/* ---- versions of the options ----------------------------------------------
 */

typedef struct newer_options {
    ahost_options known;
    int more;
} newer_options;

static void test_versions(void) {
    newer_options newer = {.known = {.size = sizeof(newer)}};
    ahost_options options = {.size = offsetof(ahost_options, stay),
                             .stay = 1, /* which that version has not got */
                             .path = "nonsense"};
    ahost *h;
    assert(ahost_open(&h, &newer.known) == AHOST_OK);
    ahost_close(h);
    newer.more = 1;
    assert(ahost_open(&h, &newer.known) == AHOST_NOT_SUPPORTED && h == NULL);
    assert(ahost_open(&h, &options) == AHOST_OK);
    assert(ahost_run(h) == 0); /* without `stay` it ends */
    ahost_close(h);
    options.size = 0;
    assert(ahost_open(&h, &options) == AHOST_MISUSE && h == NULL);
    options.size = (size_t)-1;
    assert(ahost_open(&h, &options) == AHOST_MISUSE);
    options.size = 4;
    assert(ahost_open(&h, &options) == AHOST_MISUSE);
    assert(strcmp(ahost_version(), AHOST_VERSION) == 0);
    for (int code = -12; code <= 0; code++)
        assert(strlen(ahost_strerror(code)) > 0);
    assert(strcmp(ahost_strerror(-12), "unknown code") == 0);
    assert(strcmp(ahost_strerror(AHOST_TIMED_OUT), "timed out") == 0);
}

static void test_paths(void) {
    ahost_options options = {.path = "/nowhere/?.lua", .cpath = ""};
    ahost *h = open_with(&options);
    assert(ahost_load_string(h,
                             "assert(package.path == '/nowhere/?.lua')\n"
                             "assert(package.cpath == '')\n"
                             "require 'ahost.task'\n",
                             "=x") == AHOST_OK);
    ahost_close(h);
}

/* ---- memory ----------------------------------------------------------------
 */

static const char functions[] =
    "function hog() local t = {} for i = 1, 1e9 do t[i] = {i} end end\n"
    "function fine(text) return text end\n"
    "function forever() while true do end end\n"
    "function stubborn() while true do pcall(forever) end end\n"
    "function inside() return coroutine.wrap(forever)() end\n";

static void check_fine(ahost *h) {
    ahost_value *arguments = ahost_make_list(), *result;
    ahost_list_add(arguments, ahost_make_string("text"));
    assert(ahost_call(h, NULL, "fine", arguments, -1, &result) == AHOST_OK);
    assert(strcmp(ahost_value_string(result, NULL), "text") == 0);
    ahost_value_free(result);
    ahost_value_free(arguments);
}

/* Running out of memory is the end of what did, and of nothing else. */
static void test_memory(void) {
    ahost_options options = {.memory_limit = 6 << 20, .stay = 1};
    ahost *h = open_with(&options);
    ahost_value *big = ahost_make_list();
    assert(ahost_load_string(h, functions, "=x") == AHOST_OK);
    check_fine(h);
    for (int i = 0; i < 5; i++) {
        assert(ahost_call(h, NULL, "hog", NULL, -1, NULL) == AHOST_NO_MEMORY);
        check_fine(h);
    }
    for (int i = 0; i < 10; i++) { /* what comes from C does not fit */
        char *text = malloc(1 << 20);
        memset(text, 'a' + i, 1 << 20);
        ahost_list_add(big, ahost_make_bytes(text, 1 << 20));
        free(text);
    }
    assert(ahost_call(h, NULL, "fine", big, -1, NULL) == AHOST_NO_MEMORY);
    assert(strstr(ahost_errmsg(h), "not enough memory") != NULL);
    ahost_value_free(big);
    check_fine(h);
    assert(ahost_step(h, 0) == 1);
    ahost_close(h);
}

/* No limit, however small, does more than refuse. */
static void test_small_limits(void) {
    int opened = 0;
    for (size_t limit = 1000; limit < 2 << 20; limit += limit / 8) {
        ahost_options options = {.size = sizeof(options),
                                 .memory_limit = limit};
        ahost *h;
        int err = ahost_open(&h, &options);
        assert(err == AHOST_OK || (err == AHOST_NO_MEMORY && h == NULL));
        if (h == NULL)
            continue;
        opened++;
        ahost_load_string(h, functions, "=x");
        ahost_call(h, NULL, "fine", NULL, -1, NULL);
        ahost_bus_publish(h, "x", NULL);
        ahost_run(h);
        ahost_close(h);
    }
    assert(opened > 0);
}

/* ---- endless loops ---------------------------------------------------------
 */

static volatile int over;

static void *interrupt(void *host) {
    while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
        usleep(20000);
        ahost_interrupt(host);
    }
    return NULL;
}

static void test_interrupts(void) {
    static const char *const names[] = {"forever", "inside"};
    ahost_options options = {.interrupt_every = 1000, .stay = 1};
    ahost *h = open_with(&options);
    assert(ahost_load_string(h, functions, "=x") == AHOST_OK);
    for (int i = 0; i < 6; i++) {
        pthread_t thread;
        over = 0;
        assert(pthread_create(&thread, NULL, interrupt, h) == 0);
        assert(ahost_call(h, NULL, names[i % 2], NULL, -1, NULL) ==
               AHOST_FAILED);
        assert(strstr(ahost_errmsg(h), "interrupted") != NULL);
        __atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
        pthread_join(thread, NULL);
        check_fine(h);
    }
    ahost_close(h);
}

/* Even code that catches its end, while it is loaded and afterwards. */
static void test_stalls(void) {
    ahost_options options = {
        .interrupt_every = 1000, .stall_kill = 0.03, .stay = 1};
    ahost *h = open_with(&options);
    assert(ahost_load_string(h, functions, "=x") == AHOST_OK);
    assert(ahost_call(h, NULL, "forever", NULL, -1, NULL) == AHOST_FAILED);
    assert(strstr(ahost_errmsg(h), "stalled") != NULL);
    assert(ahost_call(h, NULL, "stubborn", NULL, -1, NULL) == AHOST_FAILED);
    check_fine(h);
    assert(ahost_load_string(h, "while true do end", "=y") == AHOST_FAILED);
    assert(strstr(ahost_errmsg(h), "stalled") != NULL);
    assert(ahost_run(h) == 1);
    ahost_close(h);
}

/* ---- many ------------------------------------------------------------------
 */

static int descriptors(void) {
    DIR *list = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(list) != NULL)
        count++;
    closedir(list);
    return count;
}

static long resident(void) {
    long pages = 0, unused;
    FILE *file = fopen("/proc/self/statm", "r");
    assert(file != NULL && fscanf(file, "%ld %ld", &unused, &pages) == 2);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void nothing(ahost *h, void *data) {
    (void)h;
    (void)data;
}

static void open_and_close(int i) {
    ahost_options options = {0};
    ahost *h = open_with(&options);
    assert(ahost_post(h, nothing, NULL, NULL) == AHOST_OK);
    if (i % 4 == 0)
        assert(ahost_load_string(h, "require 'ahost.task'.sleep(1000)", "=x") ==
               AHOST_OK);
    if (i % 4 == 1)
        assert(ahost_run(h) == 0);
    ahost_close(h);
}

static void test_many(void) {
#if defined(__SANITIZE_THREAD__)
    enum { MANY = 200, FIRST = 100 };
#else
    enum { MANY = 10000, FIRST = 500 };
#endif
    int open = descriptors();
    long memory = 0;
    for (int i = 0; i < MANY; i++) {
        open_and_close(i);
        if (i == FIRST)
            memory = resident();
    }
    assert(descriptors() == open);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert(resident() - memory < 4 << 20);
#else
    (void)memory;
#endif
}

int main(void) {
    alarm(58);
    test_versions();
    test_paths();
    test_memory();
    test_small_limits();
    test_interrupts();
    test_stalls();
    test_many();
    return 0;
}
