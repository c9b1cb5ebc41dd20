/*
 * embed_call.c - Lua functions called from C, applications from configurations,
 * and components in C.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ahost.h"

static char last[4096];

static void on_record(void *data, const ahost_record *record) {
    (void)data;
    snprintf(last, sizeof(last), "%s: %s", record->logger, record->text);
}

static ahost *open_host(int stay) {
    ahost_options options = {
        .size = sizeof(options), .log = on_record, .stay = stay};
    ahost *h;
    last[0] = '\0';
    assert(ahost_open(&h, &options) == AHOST_OK);
    return h;
}

static void run(ahost *h, const char *source) {
    int err = ahost_load_string(h, source, "=test");
    if (err != AHOST_OK)
        fprintf(stderr, "%s\n", ahost_errmsg(h));
    assert(err == AHOST_OK);
}

/* ---- calls ----------------------------------------------------------------
 */

static const char functions[] =
    "local task = require 'ahost.task'\n"
    "game = {score = 0}\n"
    "function game.add(n, list)\n"
    "  game.score = game.score + n\n"
    "  return {score = game.score, list = list}\n"
    "end\n"
    "function slow(seconds, value) task.sleep(seconds) return value end\n"
    "function fail(what) local function inner() error(what) end inner() end\n"
    "function swallow() pcall(task.sleep, 100) pcall(task.sleep, 100) end\n"
    "function forever() require('ahost.sync').event():wait() end\n"
    "function raise() error(require('ahost.error').new('ENOENT', 'gone')) "
    "end\n";

static int64_t add(ahost *h, int n) {
    ahost_value *arguments = ahost_make_list(), *result;
    int64_t score;
    ahost_list_add(arguments, ahost_make_integer(n));
    ahost_list_add(arguments, ahost_make_list());
    assert(ahost_call(h, NULL, "game.add", arguments, -1, &result) == AHOST_OK);
    score = ahost_value_integer(ahost_map_get(result, "score"), -1);
    assert(ahost_value_kind(ahost_map_get(result, "list")) == AHOST_LIST);
    ahost_value_free(arguments);
    ahost_value_free(result);
    return score;
}

static int call_slow(ahost *h, double seconds, double limit,
                     ahost_value **result) {
    ahost_value *arguments = ahost_make_list();
    int err;
    ahost_list_add(arguments, ahost_make_number(seconds));
    ahost_list_add(arguments, ahost_make_string("done"));
    err = ahost_call(h, NULL, "slow", arguments, limit, result);
    ahost_value_free(arguments);
    return err;
}

static void test_calls(void) {
    ahost *h = open_host(0);
    ahost_value *result;
    run(h, functions);
    assert(add(h, 2) == 2 && add(h, 3) == 5);
    assert(call_slow(h, 0.01, -1, &result) == AHOST_OK);
    assert(strcmp(ahost_value_string(result, NULL), "done") == 0);
    ahost_value_free(result);
    assert(call_slow(h, 100, 0.01, &result) == AHOST_TIMED_OUT);
    assert(result == NULL);
    assert(strstr(ahost_errmsg(h), "timed out") != NULL);
    assert(ahost_call(h, NULL, "swallow", NULL, 0.01, NULL) == AHOST_TIMED_OUT);
    assert(ahost_call(h, NULL, "fail", NULL, -1, NULL) == AHOST_FAILED);
    assert(strstr(ahost_errmsg(h), "stack traceback:") != NULL);
    assert(strstr(ahost_errmsg(h), "in upvalue 'inner'") != NULL ||
           strstr(ahost_errmsg(h), "'inner'") != NULL);
    assert(ahost_call(h, NULL, "raise", NULL, -1, NULL) == AHOST_FAILED);
    assert(strstr(ahost_errmsg(h), "gone") != NULL);
    assert(strstr(ahost_errmsg(h), "traceback") == NULL); /* of the world */
    assert(ahost_call(h, NULL, "forever", NULL, -1, NULL) == AHOST_FAILED);
    assert(strstr(ahost_errmsg(h), "nothing is left") != NULL);
    assert(ahost_call(h, NULL, "game.nothing", NULL, -1, NULL) ==
           AHOST_NOT_FOUND);
    assert(strstr(ahost_errmsg(h), "no global function 'game.nothing'") !=
           NULL);
    assert(ahost_call(h, NULL, "no.module:f", NULL, -1, NULL) ==
           AHOST_NOT_FOUND);
    assert(ahost_call(h, "", "f", NULL, -1, NULL) == AHOST_NOT_FOUND);
    assert(ahost_call(h, NULL, NULL, NULL, -1, NULL) == AHOST_MISUSE);
    assert(ahost_call(h, NULL, "game", NULL, -1, NULL) == AHOST_FAILED);
    result = ahost_make_map();
    assert(ahost_call(h, NULL, "math.floor", result, -1, NULL) == AHOST_MISUSE);
    assert(strstr(ahost_errmsg(h), "as a list") != NULL);
    ahost_value_free(result);
    assert(add(h, 1) == 6); /* none of it has done any harm */
    assert(ahost_run(h) == 0);
    assert(ahost_call(h, NULL, "game.add", NULL, -1, NULL) == AHOST_ENDED);
    ahost_close(h);
}

static int dones, last_code;

static void on_done(ahost *h, void *data, int code, const ahost_value *result) {
    assert(data == &dones && h != NULL);
    dones++;
    last_code = code;
    assert((code == AHOST_OK) == (ahost_value_string(result, NULL) == NULL));
}

static void test_calls_later(void) {
    ahost *h = open_host(1);
    ahost_value *arguments = ahost_make_list();
    run(h, functions);
    ahost_list_add(arguments, ahost_make_number(0.01));
    dones = 0;
    assert(ahost_call_later(h, NULL, "slow", arguments, on_done, &dones) ==
           AHOST_OK);
    assert(ahost_call_later(h, NULL, "nothing", NULL, on_done, &dones) ==
           AHOST_OK);
    assert(dones == 1 && last_code == AHOST_NOT_FOUND);
    while (dones < 2)
        assert(ahost_step(h, 1000) == 1);
    assert(last_code == AHOST_OK);
    assert(ahost_call_later(h, NULL, "fail", NULL, NULL, NULL) == AHOST_OK);
    assert(strstr(last, "stack traceback:") != NULL);
    assert(ahost_call_later(h, NULL, "forever", NULL, on_done, &dones) ==
           AHOST_OK);
    assert(ahost_call_later(h, NULL, "swallow", NULL, on_done, &dones) ==
           AHOST_OK);
    ahost_value_free(arguments);
    ahost_stop(h);
    ahost_run(h);
    assert(dones == 4);
    ahost_close(h);
    assert(dones == 4);

    h = open_host(1); /* closed while a call has not begun to end */
    run(h, functions);
    assert(ahost_call_later(h, NULL, "forever", NULL, on_done, &dones) ==
           AHOST_OK);
    ahost_close(h);
    assert(dones == 5 && last_code == AHOST_ENDED);
}

/* ---- configurations -------------------------------------------------------
 */

static char directory[] = "/tmp/ahost-embed-XXXXXX";

static const char *file(const char *name, const char *text) {
    static char path[4][256];
    static int next;
    char *at = path[next++ % 4];
    FILE *f;
    snprintf(at, sizeof(path[0]), "%s/%s", directory, name);
    f = fopen(at, "w");
    assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    return at;
}

static int reloads;

static void on_reloaded(ahost *h, void *data, int code,
                        const ahost_value *report) {
    (void)h;
    assert(data == &reloads && code == AHOST_OK);
    reloads += ahost_value_boolean(ahost_map_get(report, "ok"), -100) ? 1 : 100;
}

static void reload_and_wait(ahost *h) {
    int before = reloads;
    assert(ahost_reload(h, NULL, on_reloaded, &reloads) == AHOST_OK);
    while (reloads == before)
        assert(ahost_step(h, 1000) == 1);
}

/* A file that has changed, then one that does not compile. */
static void reload_root(ahost *h) {
    ahost_value *result;
    reloads = 0;
    file("root.lua", "local Root = {}\n"
                     "function Root:grow() return 'another one' end\n"
                     "return Root\n");
    reload_and_wait(h);
    assert(reloads == 1);
    assert(ahost_call(h, "", "grow", NULL, -1, &result) == AHOST_OK);
    assert(strcmp(ahost_value_string(result, NULL), "another one") == 0);
    ahost_value_free(result);
    file("root.lua", "local Root = {\n");
    reload_and_wait(h);
    assert(reloads == 101);
    assert(ahost_call(h, "", "grow", NULL, -1, NULL) == AHOST_OK);
}

static void test_configuration(void) {
    const char *files[] = {file("app.yaml", "component:\n"
                                            "  type: ./root.lua\n"
                                            "  size: 3\n"
                                            "  components: {child: {type: "
                                            "child}}\n"),
                           NULL};
    const char *sets[] = {"component.size=4", NULL};
    ahost *h = open_host(0);
    ahost_value *result;
    file("root.lua", "local Root = {options = {size = {type = 'integer'}}}\n"
                     "function Root:start() self.total = self.config.size end\n"
                     "function Root:grow(n)\n"
                     "  self.total = self.total + n\n"
                     "  return self.total\n"
                     "end\n"
                     "function Root:fail() error 'inside' end\n"
                     "return Root\n");
    file("child.lua", "local Child = {}\n"
                      "function Child:start(ctx)\n"
                      "  require 'ahost.task'.sleep(0.01)\n"
                      "  ctx:publish('child', {})\n"
                      "end\n"
                      "return Child\n");
    assert(ahost_load_config(h, files, sets) == AHOST_OK);
    for (int i = 0; i < 20; i++)
        assert(ahost_step(h, 10) == 1);
    {
        ahost_value *arguments = ahost_make_list();
        ahost_list_add(arguments, ahost_make_integer(10));
        assert(ahost_call(h, "", "grow", arguments, -1, &result) == AHOST_OK);
        assert(ahost_value_integer(result, 0) == 14);
        ahost_value_free(result);
        ahost_value_free(arguments);
    }
    assert(ahost_call(h, "", "fail", NULL, -1, NULL) == AHOST_FAILED);
    assert(strstr(ahost_errmsg(h), "inside") != NULL);
    assert(ahost_call(h, "child", "nothing", NULL, -1, NULL) ==
           AHOST_NOT_FOUND);
    assert(ahost_call(h, "other", "nothing", NULL, -1, NULL) ==
           AHOST_NOT_FOUND);
    assert(strstr(ahost_errmsg(h), "no component 'other'") != NULL);
    reload_root(h);
    ahost_stop(h);
    assert(ahost_run(h) == 0);
    ahost_close(h);
}

static void test_wrong_configurations(void) {
    const char *files[] = {NULL, NULL};
    ahost *h = open_host(0);
    assert(ahost_load_config(h, NULL, NULL) == AHOST_MISUSE);
    assert(ahost_load_config(h, files, NULL) == AHOST_MISUSE);
    files[0] = file("wrong.yaml", "component: {type: ./root.lua, size: big}\n"
                                  "stop_timeout: never\n");
    assert(ahost_load_config(h, files, NULL) == AHOST_CONFIG);
    assert(strstr(ahost_errmsg(h), "wrong.yaml:2:") != NULL);
    files[0] = file("wrong.yaml", "component: {type: ./root.lua, size: big}\n");
    assert(ahost_load_config(h, files, NULL) == AHOST_CONFIG);
    assert(strstr(ahost_errmsg(h), "wrong.yaml:1:") != NULL);
    files[0] = file("wrong.yaml", "component: [\n");
    assert(ahost_load_config(h, files, NULL) == AHOST_CONFIG);
    files[0] = "/nowhere/at.all.yaml";
    assert(ahost_load_config(h, files, NULL) == AHOST_CONFIG);
    assert(strstr(ahost_errmsg(h), "/nowhere/at.all.yaml") != NULL);
    assert(last[0] == '\0'); /* the program is told, not the log */
    run(h, "fine = true");
    assert(ahost_run(h) == 0);
    ahost_close(h);
}

/* ---- components ------------------------------------------------------------
 */

static char calls[256];

static const ahost_type counter_type = {.size = sizeof(counter_type),
                                        .name = "counter"};
static int counter;

static void note(const ahost_instance *self, const char *what) {
    snprintf(calls + strlen(calls), sizeof(calls) - strlen(calls), "%s %s;",
             what, ahost_instance_path(self));
}

static int counter_prepare(ahost_instance *self) {
    note(self, "prepare");
    assert(ahost_instance_data(self) == NULL);
    ahost_instance_set_data(self, &counter);
    return AHOST_OK;
}

static int counter_start(ahost_instance *self) {
    const ahost_value *config = ahost_instance_config(self);
    int64_t first = ahost_value_integer(ahost_map_get(config, "first"), -1);
    note(self, "start");
    assert(ahost_instance_data(self) == &counter);
    if (first < 0)
        return ahost_instance_fail(self, "it begins below zero");
    counter = (int)first;
    return ahost_publish(ahost_instance_host(self), "counter", &counter,
                         &counter_type);
}

static void counter_close(ahost_instance *self) {
    note(self, "close");
    assert(ahost_instance_data(self) == &counter);
    assert(ahost_map_get(ahost_instance_config(self), "first") != NULL);
}

static int root_run(ahost_instance *self) {
    note(self, "run");
    return counter;
}

static const ahost_component counter_component = {
    .size = sizeof(counter_component),
    .name = "counter",
    .options = "first: {type: integer, default: 7}",
    .prepare = counter_prepare,
    .start = counter_start,
    .close = counter_close};

static const ahost_component root_component = {
    .size = sizeof(root_component), .name = "program.root", .run = root_run};

static int run_components(const char *set, ahost **host) {
    const char *files[] = {file("c.yaml", "component:\n"
                                          "  type: program.root\n"
                                          "  components: {a: {type: "
                                          "counter}}\n"),
                           NULL};
    const char *sets[] = {set, NULL};
    ahost *h = open_host(0);
    static const ahost_component sizeless = {.name = "x"};
    static const ahost_component wrong = {
        .size = sizeof(wrong), .name = "x", .options = "a: [b"};
    int err;
    calls[0] = '\0';
    assert(ahost_register(h, NULL) == AHOST_MISUSE);
    assert(ahost_register(h, &sizeless) == AHOST_MISUSE);
    assert(ahost_register(h, &wrong) == AHOST_CONFIG);
    assert(ahost_register(h, &root_component) == AHOST_OK);
    assert(ahost_register(h, &counter_component) == AHOST_OK);
    assert(ahost_register(h, &counter_component) == AHOST_CONFLICT);
    *host = h;
    err = ahost_load_config(h, files, sets);
    return err == AHOST_OK ? ahost_run(h) : err;
}

static void test_components(void) {
    ahost *h;
    assert(run_components(NULL, &h) == 7);
    ahost_close(h);
    assert(strcmp(calls, "prepare a;start a;run ;close a;") == 0);
    assert(run_components("component.components.a.first=3", &h) == 3);
    ahost_close(h);
    assert(run_components("component.components.a.first=x", &h) ==
           AHOST_CONFIG);
    assert(strstr(ahost_errmsg(h), "first") != NULL);
    ahost_close(h);
    assert(run_components("component.components.a.first=-1", &h) == 1);
    assert(strstr(calls, "start a;close a;") != NULL);
    ahost_close(h);
    assert(ahost_reload(NULL, NULL, NULL, NULL) == AHOST_MISUSE);
    h = open_host(0);
    assert(ahost_reload(h, NULL, NULL, NULL) == AHOST_NOT_FOUND);
    ahost_close(h);
}

int main(void) {
    alarm(50);
    assert(mkdtemp(directory) != NULL);
    test_calls();
    test_calls_later();
    test_configuration();
    test_wrong_configurations();
    test_components();
    return system("rm -r /tmp/ahost-embed-*") != 0;
}
