/*
 * embed_misuse.c - every function of ahost.h called wrongly: with NULL, on a
 * host that has ended, in another thread, with what makes no sense. Each has a
 * code and says in words what is wrong; none crashes.
 */
#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ahost.h"

static int destroyed;

static void destroy(void *pointer) {
    (void)pointer;
    destroyed++;
}

static const ahost_type type = {
    .size = sizeof(type), .name = "thing", .destroy = destroy};
static const ahost_component component = {.size = sizeof(component),
                                          .name = "component"};
static char thing;

static void on_event(ahost *h, void *data, const char *name,
                     const ahost_value *value) {
    (void)h, (void)data, (void)name, (void)value;
}

static void on_done(ahost *h, void *data, int code, const ahost_value *result) {
    (void)h, (void)data, (void)code, (void)result;
}

static ahost *open_host(void) {
    ahost_options options = {.size = sizeof(options), .stay = 1};
    ahost *h;
    assert(ahost_open(&h, &options) == AHOST_OK);
    return h;
}

typedef int try_function(ahost *h);

/* ---- calls that would be right ------------------------------------------ */

static int load_file(ahost *h) {
    return ahost_load_file(h, "x.lua");
}

static int load_string(ahost *h) {
    return ahost_load_string(h, "return 1", "=x");
}

static int load_config(ahost *h) {
    static const char *const files[] = {"x.yaml", NULL};
    return ahost_load_config(h, files, NULL);
}

static int step(ahost *h) {
    return ahost_step(h, 0);
}

static int publish(ahost *h) {
    return ahost_publish(h, "thing", &thing, &type);
}

static int request(ahost *h) {
    return ahost_request(h, "thing", &type) != NULL ? AHOST_OK : AHOST_MISUSE;
}

static int emit(ahost *h) {
    return ahost_emit(h, "alarm", NULL);
}

static int listen(ahost *h) {
    return ahost_connect(h, "alarm", on_event, NULL, NULL);
}

static int bus_publish(ahost *h) {
    return ahost_bus_publish(h, "message", NULL);
}

static int bus_subscribe(ahost *h) {
    return ahost_bus_subscribe(h, "message", on_event, NULL, NULL);
}

static int disconnect(ahost *h) {
    return ahost_disconnect(h, NULL);
}

static int call(ahost *h) {
    ahost_value *result = (ahost_value *)h;
    int err = ahost_call(h, NULL, "print", NULL, -1, &result);
    assert(err == AHOST_OK || result == NULL);
    return err;
}

static int call_later(ahost *h) {
    return ahost_call_later(h, NULL, "print", NULL, on_done, NULL);
}

static int reload(ahost *h) {
    return ahost_reload(h, NULL, on_done, NULL);
}

static int add_type(ahost *h) {
    return ahost_register(h, &component);
}

enum { MAY = 1 }; /* be called on a host that has ended */

static const struct {
    const char *name;
    try_function *call;
    int ended;
} functions[] = {{"ahost_load_file", load_file, 0},
                 {"ahost_load_string", load_string, 0},
                 {"ahost_load_config", load_config, 0},
                 {"ahost_run", ahost_run, MAY},
                 {"ahost_step", step, MAY},
                 {"ahost_fd", ahost_fd, MAY},
                 {"ahost_publish", publish, 0},
                 {"ahost_request", request, 0},
                 {"ahost_emit", emit, 0},
                 {"ahost_connect", listen, 0},
                 {"ahost_bus_publish", bus_publish, 0},
                 {"ahost_bus_subscribe", bus_subscribe, 0},
                 {"ahost_disconnect", disconnect, MAY},
                 {"ahost_call", call, 0},
                 {"ahost_call_later", call_later, 0},
                 {"ahost_reload", reload, 0},
                 {"ahost_register", add_type, 0}};

enum { FUNCTIONS = sizeof(functions) / sizeof(*functions) };

/* What a function does that has the host refuse. */
static void check(int passed, const char *what, const char *how, int code,
                  const char *text) {
    if (!passed)
        fprintf(stderr, "%s, %s: %d: %s\n", what, how, code, text);
    assert(passed);
}

static void test_without_a_host(void) {
    for (int i = 0; i < FUNCTIONS; i++) {
        int code = functions[i].call(NULL);
        check(code == AHOST_MISUSE, functions[i].name, "NULL", code, "");
    }
    assert(ahost_open(NULL, NULL) == AHOST_MISUSE);
    assert(ahost_adopt(NULL) == AHOST_MISUSE);
    assert(ahost_close(NULL) == AHOST_OK);
    assert(ahost_timeout(NULL) == 0);
    assert(ahost_has_ended(NULL) == 1);
    assert(ahost_exit_status(NULL) == AHOST_MISUSE);
    assert(strlen(ahost_errmsg(NULL)) > 0);
    assert(ahost_post(NULL, NULL, NULL, NULL) == AHOST_MISUSE);
    assert(ahost_signal(NULL, 1) == 0);
    assert(ahost_interrupt(NULL) == 0);
    ahost_interrupted(NULL);
    ahost_log_flush(NULL, 10);
    ahost_stop(NULL);
}

static void *call_all(void *host) {
    for (int i = 0; i < FUNCTIONS; i++) {
        int code = functions[i].call(host);
        check(code == AHOST_MISUSE, functions[i].name, "in another thread",
              code, ahost_errmsg(host));
    }
    assert(ahost_close(host) == AHOST_MISUSE);
    assert(ahost_timeout(host) == 0);
    assert(ahost_exit_status(host) == AHOST_MISUSE);
    assert(strstr(ahost_errmsg(host), "another thread") != NULL);
    return NULL;
}

static void test_in_another_thread(void) {
    ahost *h = open_host();
    pthread_t thread;
    assert(pthread_create(&thread, NULL, call_all, h) == 0);
    pthread_join(thread, NULL);
    assert(ahost_close(h) == AHOST_OK);
}

static void test_after_the_end(void) {
    ahost *h = open_host();
    ahost_stop(h);
    assert(ahost_run(h) == 0);
    for (int i = 0; i < FUNCTIONS; i++) {
        int code = functions[i].call(h);
        const char *text = ahost_errmsg(h);
        if (functions[i].ended == MAY)
            check(code >= 0, functions[i].name, "ended", code, text);
        else
            check(code < 0 && strstr(text, functions[i].name) != NULL &&
                      strstr(text, " end") != NULL,
                  functions[i].name, "ended", code, text);
    }
    assert(ahost_signal(h, 1) == 0);
    assert(ahost_interrupt(h) == 0);
    ahost_interrupted(h);
    ahost_log_flush(h, 1);
    ahost_stop(h);
    assert(ahost_close(h) == AHOST_OK);
}

/* ---- calls that make no sense -------------------------------------------- */

static const char list_source[] =
    "local ctx = require('ahost.context').current()\n"
    "ctx:publish('alarm', require('ahost.signal').new())\n"
    "ctx:publish('table', {})\n"
    "number = 1\n";

static ahost_value *number_value, *deep_value, *broken_value, *long_value;

static int no_source(ahost *h) {
    return ahost_load_string(h, NULL, "=x");
}

static int no_chunk_name(ahost *h) {
    return ahost_load_string(h, "", NULL);
}

static int empty_chunk_name(ahost *h) {
    return ahost_load_string(h, "x = = 1", "");
}

static int binary_source(ahost *h) {
    return ahost_load_string(h, "\033Lua", "=x");
}

static int no_file(ahost *h) {
    return ahost_load_file(h, NULL);
}

static int missing_file(ahost *h) {
    return ahost_load_file(h, "/nowhere/x.lua");
}

static int directory(ahost *h) {
    return ahost_load_file(h, "/");
}

static int no_files(ahost *h) {
    return ahost_load_config(h, NULL, NULL);
}

static int zero_files(ahost *h) {
    static const char *const files[] = {NULL};
    return ahost_load_config(h, files, files);
}

static int missing_files(ahost *h) {
    static const char *const files[] = {"/nowhere/x.yaml", NULL};
    return ahost_load_config(h, files, NULL);
}

static int bad_sets(ahost *h) {
    static const char *const files[] = {"/dev/null", NULL};
    static const char *const sets[] = {"=", "", NULL};
    return ahost_load_config(h, files, sets);
}

static int publish_no_key(ahost *h) {
    return ahost_publish(h, NULL, &thing, &type);
}

static int publish_null(ahost *h) {
    return ahost_publish(h, "x", NULL, &type);
}

static int publish_no_type(ahost *h) {
    return ahost_publish(h, "x", &thing, NULL);
}

static int publish_bad_key(ahost *h) {
    return ahost_publish(h, "", &thing, &type);
}

static int publish_small_type(ahost *h) {
    static const ahost_type small = {.size = 1, .name = "x"};
    return ahost_publish(h, "x", &thing, &small);
}

static int publish_taken(ahost *h) {
    return ahost_publish(h, "alarm", &thing, &type);
}

static int emit_no_key(ahost *h) {
    return ahost_emit(h, NULL, NULL);
}

static int emit_nothing(ahost *h) {
    return ahost_emit(h, "nothing", NULL);
}

static int emit_no_signal(ahost *h) {
    return ahost_emit(h, "table", NULL);
}

static int emit_number(ahost *h) {
    return ahost_emit(h, "alarm", number_value);
}

static int emit_broken(ahost *h) {
    return ahost_emit(h, "alarm", broken_value);
}

static int connect_nothing(ahost *h) {
    return ahost_connect(h, "nothing", on_event, NULL, NULL);
}

static int connect_no_signal(ahost *h) {
    ahost_connection *connection = (ahost_connection *)h;
    int err = ahost_connect(h, "table", on_event, NULL, &connection);
    assert(connection == NULL);
    return err;
}

static int connect_no_function(ahost *h) {
    return ahost_connect(h, "alarm", NULL, NULL, NULL);
}

static int connect_no_key(ahost *h) {
    return ahost_connect(h, NULL, on_event, NULL, NULL);
}

static int publish_no_message(ahost *h) {
    return ahost_bus_publish(h, NULL, NULL);
}

static int publish_without_bus(ahost *h) {
    return ahost_bus_publish(h, "x", NULL);
}

static int subscribe_no_message(ahost *h) {
    return ahost_bus_subscribe(h, NULL, on_event, NULL, NULL);
}

static int subscribe_no_function(ahost *h) {
    return ahost_bus_subscribe(h, "x", NULL, NULL, NULL);
}

static int call_no_name(ahost *h) {
    return ahost_call(h, NULL, NULL, NULL, -1, NULL);
}

static int call_nothing(ahost *h) {
    return ahost_call(h, NULL, "", NULL, -1, NULL);
}

static int call_dots(ahost *h) {
    return ahost_call(h, NULL, "..", NULL, -1, NULL);
}

static int call_part(ahost *h) {
    return ahost_call(h, NULL, "string.", NULL, -1, NULL);
}

static int call_number(ahost *h) {
    return ahost_call(h, NULL, "number", NULL, -1, NULL);
}

static int call_no_module(ahost *h) {
    return ahost_call(h, NULL, "no.module:f", NULL, -1, NULL);
}

static int call_no_application(ahost *h) {
    return ahost_call(h, "", "f", NULL, -1, NULL);
}

static int call_with_number(ahost *h) {
    return ahost_call(h, NULL, "type", number_value, -1, NULL);
}

static int call_with_deep(ahost *h) {
    return ahost_call(h, NULL, "type", deep_value, -1, NULL);
}

static int call_with_many(ahost *h) {
    return ahost_call(h, NULL, "type", long_value, -1, NULL);
}

static int call_with_broken(ahost *h) {
    return ahost_call(h, NULL, "type", broken_value, -1, NULL);
}

static int call_for_no_number(ahost *h) {
    return ahost_call(h, NULL, "type", NULL, (double)NAN, NULL);
}

static int reload_nothing(ahost *h) {
    return ahost_reload(h, "web", NULL, NULL);
}

static int register_nothing(ahost *h) {
    return ahost_register(h, NULL);
}

static int register_small(ahost *h) {
    static const ahost_component small = {.size = 1, .name = "x"};
    return ahost_register(h, &small);
}

static int register_nameless(ahost *h) {
    static const ahost_component nameless = {.size = sizeof(nameless)};
    return ahost_register(h, &nameless);
}

static int register_options(ahost *h, const char *options) {
    ahost_component bad = {
        .size = sizeof(bad), .name = "bad", .options = options};
    return ahost_register(h, &bad);
}

static int register_bad_yaml(ahost *h) {
    return register_options(h, "a: [1");
}

static int register_number(ahost *h) {
    return register_options(h, "5");
}

static int register_bad_type(ahost *h) {
    return register_options(h, "port: {type: integerr}");
}

/* In callbacks ahost_call is misuse, and what is loaded is looked at later. */
enum { OUTSIDE = 1 };

static const struct {
    const char *name;
    try_function *call;
    int code;
    const char *text; /* part of the message */
    int outside;      /* of callbacks only */
} mistakes[] = {
    {"no source", no_source, AHOST_MISUSE, "no source", 0},
    {"no name", no_chunk_name, AHOST_MISUSE, "name", 0},
    {"empty name", empty_chunk_name, AHOST_SYNTAX, "unexpected symbol", 0},
    {"binary", binary_source, AHOST_SYNTAX, "binary chunk", 0},
    {"no file", no_file, AHOST_MISUSE, "no path", 0},
    {"missing file", missing_file, AHOST_NOT_FOUND, "/nowhere/x.lua", 0},
    {"directory", directory, AHOST_NOT_FOUND, "/", 0},
    {"no files", no_files, AHOST_MISUSE, "no files", 0},
    {"zero files", zero_files, AHOST_MISUSE, "no files", 0},
    {"missing files", missing_files, AHOST_CONFIG, "/nowhere/x.yaml", OUTSIDE},
    {"bad sets", bad_sets, AHOST_CONFIG, "=", OUTSIDE},
    {"publish no key", publish_no_key, AHOST_MISUSE, "no key", 0},
    {"publish NULL", publish_null, AHOST_MISUSE, "'x' is NULL", 0},
    {"publish no type", publish_no_type, AHOST_MISUSE, "no type", 0},
    {"publish bad key", publish_bad_key, AHOST_MISUSE, "key", 0},
    {"publish small type", publish_small_type, AHOST_MISUSE, "no size", 0},
    {"publish taken", publish_taken, AHOST_CONFLICT, "alarm", 0},
    {"emit no key", emit_no_key, AHOST_MISUSE, "no key", 0},
    {"emit nothing", emit_nothing, AHOST_NOT_FOUND, "'nothing'", 0},
    {"emit no signal", emit_no_signal, AHOST_WRONG_TYPE, "'table'", 0},
    {"emit number", emit_number, AHOST_MISUSE, "map", 0},
    {"emit broken", emit_broken, AHOST_NO_MEMORY, "memory", 0},
    {"connect nothing", connect_nothing, AHOST_NOT_FOUND, "'nothing'", 0},
    {"connect no signal", connect_no_signal, AHOST_WRONG_TYPE, "'table'", 0},
    {"connect no function", connect_no_function, AHOST_MISUSE, "function", 0},
    {"connect no key", connect_no_key, AHOST_MISUSE, "name", 0},
    {"bus no message", publish_no_message, AHOST_MISUSE, "no message", 0},
    {"no bus", publish_without_bus, AHOST_NOT_FOUND, "no application", 0},
    {"subscribe no message", subscribe_no_message, AHOST_MISUSE, "name", 0},
    {"subscribe no function", subscribe_no_function, AHOST_MISUSE, "function",
     0},
    {"call no name", call_no_name, AHOST_MISUSE, "name", OUTSIDE},
    {"call nothing", call_nothing, AHOST_NOT_FOUND, "''", OUTSIDE},
    {"call dots", call_dots, AHOST_NOT_FOUND, "'..'", OUTSIDE},
    {"call part", call_part, AHOST_NOT_FOUND, "'string.'", OUTSIDE},
    {"call number", call_number, AHOST_FAILED, "number", OUTSIDE},
    {"call no module", call_no_module, AHOST_NOT_FOUND, "no.module", OUTSIDE},
    {"call no application", call_no_application, AHOST_NOT_FOUND, "application",
     OUTSIDE},
    {"call with number", call_with_number, AHOST_MISUSE, "list", OUTSIDE},
    {"call with deep", call_with_deep, AHOST_FAILED, "deep", OUTSIDE},
    {"call with many", call_with_many, AHOST_MISUSE, "200", OUTSIDE},
    {"call with broken", call_with_broken, AHOST_NO_MEMORY, "memory", OUTSIDE},
    {"call for NaN", call_for_no_number, AHOST_MISUSE, "seconds", OUTSIDE},
    {"reload nothing", reload_nothing, AHOST_NOT_FOUND, "application", 0},
    {"register nothing", register_nothing, AHOST_MISUSE, "no type", 0},
    {"register small", register_small, AHOST_MISUSE, "size", 0},
    {"register nameless", register_nameless, AHOST_MISUSE, "name", 0},
    {"register bad YAML", register_bad_yaml, AHOST_CONFIG, "'bad'", 0},
    {"register a number", register_number, AHOST_CONFIG, "'bad'", 0},
    {"register bad type", register_bad_type, AHOST_CONFIG, "integerr", 0}};

enum { MISTAKES = sizeof(mistakes) / sizeof(*mistakes) };

static void make_values(void) {
    number_value = ahost_make_integer(1);
    broken_value = ahost_make_list();
    ahost_list_add(broken_value, NULL);
    long_value = ahost_make_list();
    deep_value = ahost_make_list();
    for (int i = 0; i < 300; i++) {
        ahost_value *outer = ahost_make_list();
        ahost_list_add(outer, deep_value);
        deep_value = outer;
        ahost_list_add(long_value, ahost_make_null());
    }
}

static void free_values(void) {
    ahost_value_free(number_value);
    ahost_value_free(broken_value);
    ahost_value_free(long_value);
    ahost_value_free(deep_value);
}

static void make_mistakes(ahost *h, int inside) {
    for (int i = 0; i < MISTAKES; i++) {
        int code;
        const char *text;
        if (inside && mistakes[i].outside == OUTSIDE)
            continue;
        code = mistakes[i].call(h);
        text = ahost_errmsg(h);
        check(code == mistakes[i].code && strstr(text, mistakes[i].text),
              mistakes[i].name, inside ? "inside" : "outside", code, text);
    }
}

static void on_post(ahost *h, void *data) {
    make_mistakes(h, 1);
    *(int *)data = 1;
}

/* The host is none the worse for any of them. */
static void test_mistakes(void) {
    ahost *h = open_host();
    int posted = 0;
    make_values();
    assert(ahost_load_string(h, list_source, "=x") == AHOST_OK);
    make_mistakes(h, 0);
    assert(ahost_post(h, on_post, &posted, NULL) == AHOST_OK);
    while (!posted)
        assert(ahost_step(h, 1000) == 1);
    free_values();
    assert(ahost_load_string(h, "assert(number == 1)", "=x") == AHOST_OK);
    assert(ahost_call(h, NULL, "tostring", NULL, -1, NULL) == AHOST_FAILED);
    ahost_stop(h);
    assert(ahost_run(h) == 0);
    assert(ahost_close(h) == AHOST_OK);
    assert(destroyed == 0); /* nothing was published */
}

/* ---- things without a host ---------------------------------------------- */

static void test_nothing(void) {
    assert(ahost_argument_count(NULL) == 0);
    assert(ahost_argument(NULL, 1, AHOST_ANY) == NULL);
    assert(ahost_argument_pointer(NULL, 1, &type) == NULL);
    assert(ahost_return(NULL, ahost_make_list()) == AHOST_MISUSE);
    assert(ahost_fail(NULL, NULL, NULL) == AHOST_FAILED);
    assert(ahost_raise(NULL, NULL) == AHOST_FAILED);
    assert(ahost_invocation_host(NULL) == NULL);
    assert(ahost_instance_host(NULL) == NULL);
    assert(strcmp(ahost_instance_path(NULL), "") == 0);
    assert(ahost_instance_config(NULL) == NULL);
    assert(ahost_instance_data(NULL) == NULL);
    ahost_instance_set_data(NULL, NULL);
    assert(ahost_instance_fail(NULL, "x") == AHOST_FAILED);
}

/* A value that is given to itself, or to what it is in, is not freed. */
static void test_values(void) {
    ahost_value *text = ahost_make_string("x"), *outer = ahost_make_list();
    ahost_value *inner = ahost_make_list();
    assert(ahost_list_add(text, text) == AHOST_MISUSE);
    assert(ahost_map_set(text, "x", text) == AHOST_MISUSE);
    assert(ahost_list_add(outer, inner) == AHOST_OK);
    assert(ahost_map_set(inner, "x", outer) == AHOST_MISUSE);
    assert(ahost_list_add(outer, text) == AHOST_OK);
    assert(ahost_list_add(text, outer) == AHOST_MISUSE);
    assert(ahost_value_count(outer) == 2);
    ahost_value_free(outer);
    assert(ahost_list_add(NULL, ahost_make_null()) == AHOST_NO_MEMORY);
    assert(ahost_map_set(NULL, "x", NULL) == AHOST_NO_MEMORY);
    assert(ahost_map_entry(NULL, 0, NULL) == NULL);
    assert(ahost_make_string(NULL) == NULL);
    assert(ahost_make_bytes(NULL, 1) == NULL);
    assert(ahost_make_bytes("x", (size_t)-1) == NULL);
    assert(ahost_value_copy(NULL) == NULL);
    ahost_value_free(NULL);
}

int main(void) {
    alarm(50);
    test_without_a_host();
    test_in_another_thread();
    test_after_the_end();
    test_mistakes();
    test_nothing();
    test_values();
    return 0;
}
