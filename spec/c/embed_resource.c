/*
 * embed_resource.c - C pointers as resources with methods, signals and the bus,
 * between C and Lua.
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

static ahost *open_host(void) {
    ahost_options options = {
        .size = sizeof(options), .log = on_record, .stay = 1};
    ahost *h;
    last[0] = '\0';
    assert(ahost_open(&h, &options) == AHOST_OK);
    return h;
}

/* Runs Lua code that fails by raising. */
static void run(ahost *h, const char *source) {
    int err = ahost_load_string(h, source, "=test");
    if (err != AHOST_OK)
        fprintf(stderr, "%s\n", ahost_errmsg(h));
    assert(err == AHOST_OK);
    for (int i = 0; i < 3; i++)
        assert(ahost_step(h, 0) == 1);
}

/* ---- a type ---------------------------------------------------------------
 */

typedef struct sensor {
    double value;
    int destroyed;
} sensor;

static int sensor_read(ahost_invocation *call, void *pointer) {
    const sensor *self = pointer;
    return ahost_return(call, ahost_make_number(self->value));
}

static int sensor_set(ahost_invocation *call, void *pointer) {
    sensor *self = pointer;
    const ahost_value *value = ahost_argument(call, 1, AHOST_NUMBER);
    if (value == NULL)
        return AHOST_FAILED;
    if (ahost_value_number(value, 0) < 0)
        return ahost_fail(call, "ERANGE", "the value is less than 0");
    self->value = ahost_value_number(value, 0);
    return AHOST_OK;
}

static int sensor_add(ahost_invocation *call, void *pointer) {
    sensor *self = pointer, *other;
    extern const ahost_type sensor_type;
    other = ahost_argument_pointer(call, 1, &sensor_type);
    if (other != NULL)
        self->value += other->value;
    return AHOST_OK;
}

static int sensor_echo(ahost_invocation *call, void *pointer) {
    (void)pointer;
    for (int i = 1; i <= ahost_argument_count(call); i++)
        ahost_return(call,
                     ahost_value_copy(ahost_argument(call, i, AHOST_ANY)));
    return AHOST_OK;
}

static int sensor_misuse(ahost_invocation *call, void *pointer) {
    ahost *h = ahost_invocation_host(call);
    (void)pointer;
    assert(ahost_run(h) == AHOST_MISUSE);
    assert(ahost_close(h) == AHOST_MISUSE);
    assert(ahost_call(h, NULL, "print", NULL, -1, NULL) == AHOST_MISUSE);
    assert(ahost_argument(call, 0, AHOST_ANY) == NULL);
    return ahost_raise(call, "this is misuse");
}

static int sensor_fail(ahost_invocation *call, void *pointer) {
    (void)call;
    (void)pointer;
    return AHOST_NOT_SUPPORTED;
}

static int sensor_no_memory(ahost_invocation *call, void *pointer) {
    (void)pointer;
    return ahost_return(call, NULL);
}

static void sensor_destroy(void *pointer) {
    ((sensor *)pointer)->destroyed++;
}

static const ahost_method sensor_methods[] = {{"read", sensor_read},
                                              {"set", sensor_set},
                                              {"add", sensor_add},
                                              {"echo", sensor_echo},
                                              {"misuse", sensor_misuse},
                                              {"fail", sensor_fail},
                                              {"no_memory", sensor_no_memory},
                                              {NULL, NULL}};

extern const ahost_type sensor_type;
const ahost_type sensor_type = {.size = sizeof(sensor_type),
                                .name = "sensor",
                                .methods = sensor_methods,
                                .destroy = sensor_destroy};

static const ahost_type other_type = {.size = sizeof(other_type),
                                      .name = "engine"};

static void test_methods(void) {
    ahost *h = open_host();
    sensor one = {21.5, 0}, two = {2, 0};
    assert(ahost_publish(h, "sensor", &one, &sensor_type) == AHOST_OK);
    assert(ahost_publish(h, "sensor/second", &two, &sensor_type) == AHOST_OK);
    run(h,
        "local ctx = require 'ahost.context'.current()\n"
        "local json = require 'ahost.json'\n"
        "local s, t = ctx:require 'sensor', ctx:require 'sensor/second'\n"
        "assert(tostring(s):find '^sensor: 0x', tostring(s))\n"
        "assert(s:read() == 21.5)\n"
        "assert(select('#', s:set(3)) == 0 and s:read() == 3)\n"
        "s:add(t) assert(s:read() == 5)\n"
        "local none, err = s:set(-1)\n"
        "assert(none == nil and err.code == 'ERANGE', tostring(err))\n"
        "assert(err.message == 'the value is less than 0')\n"
        "none, err = s:fail()\n"
        "assert(err.message:find 'not supported', err.message)\n"
        "local function raises(what, fn, ...)\n"
        "  local ok, text = pcall(fn, ...)\n"
        "  assert(not ok and tostring(text):find(what, 1, true), text)\n"
        "end\n"
        "raises('bad argument #1 to \\'set\\' (number expected, got string)',\n"
        "  s.set, s, 'x')\n"
        "raises('bad argument #1 to \\'set\\' (number expected, got no "
        "value)',\n"
        "  s.set, s)\n"
        "raises('bad argument #1 to \\'add\\' (sensor expected, got table)',\n"
        "  s.add, s, {})\n"
        "raises('sensor expected, got number', s.set, 1, 2)\n"
        "raises('this is misuse', s.misuse, s)\n"
        "raises('not enough memory', s.no_memory, s)\n"
        "assert(getmetatable(s) == false)\n"
        "local a, b, c, d, e = s:echo(1, {x = {1, 2, {}}, y = json.null},\n"
        "  'z\\0', nil, true)\n"
        "assert(a == 1 and b.x[2] == 2 and b.y == json.null)\n"
        "assert(c == 'z\\0' and d == nil and e == true)\n"
        "assert(math.type(s:echo(1)) == 'integer')\n"
        "assert(math.type(s:echo(1.5)) == 'float')\n"
        "assert(json.encode(s:echo(json.decode '[[], {}]')) == '[[],{}]')\n"
        "local loop = {} loop.loop = loop\n"
        "assert(s:echo(loop).loop.loop.loop)\n"
        "assert(s:echo(print) == 'function')\n"
        "raises('16', s.echo, s, table.unpack({}, 1, 20))\n");
    assert(one.value == 5);
    assert(ahost_request(h, "sensor/second", &sensor_type) == &two);
    assert(ahost_request(h, "sensor", &other_type) == NULL);
    assert(strstr(ahost_errmsg(h),
                  "resource 'sensor' is of type sensor, not engine") != NULL);
    assert(ahost_request(h, "nothing", &sensor_type) == NULL);
    assert(strstr(ahost_errmsg(h), "there is no resource 'nothing'") != NULL);
    ahost_close(h);
    assert(one.destroyed == 1 && two.destroyed == 1);
}

static void test_publishing(void) {
    ahost *h = open_host();
    sensor one = {1, 0}, two = {2, 0};
    static const ahost_type nameless = {.size = sizeof(nameless)};
    static const ahost_type sizeless = {.name = "x"};
    assert(ahost_publish(h, "sensor", &one, &sensor_type) == AHOST_OK);
    assert(ahost_publish(h, "sensor", &two, &sensor_type) == AHOST_CONFLICT);
    assert(strstr(ahost_errmsg(h), "already has a resource 'sensor'") != NULL);
    assert(ahost_publish(h, "no key!", &two, &sensor_type) == AHOST_MISUSE);
    assert(ahost_publish(h, NULL, &two, &sensor_type) == AHOST_MISUSE);
    assert(ahost_publish(h, "x", NULL, &sensor_type) == AHOST_MISUSE);
    assert(ahost_publish(h, "x", &two, NULL) == AHOST_MISUSE);
    assert(ahost_publish(h, "x", &two, &nameless) == AHOST_MISUSE);
    assert(ahost_publish(h, "x", &two, &sizeless) == AHOST_MISUSE);
    assert(ahost_request(h, NULL, &sensor_type) == NULL);
    run(h, "require 'ahost.context'.current():publish('table', {})");
    run(h, "collectgarbage()");
    ahost_close(h);
    assert(one.destroyed == 1 && two.destroyed == 0);
}

/* ---- signals and the bus --------------------------------------------------
 */

static int heard;
static ahost_connection *connection;

static void on_event(ahost *h, void *data, const char *name,
                     const ahost_value *event) {
    assert(data == &heard && strcmp(name, "alarm") == 0);
    assert(ahost_value_kind(event) == AHOST_MAP);
    heard += (int)ahost_value_integer(ahost_map_get(event, "level"), 0);
    assert(ahost_map_get(event, "time") != NULL);
    if (heard >= 10)
        assert(ahost_disconnect(h, connection) == AHOST_OK);
}

static void test_signals(void) {
    ahost *h = open_host();
    ahost_value *event = ahost_make_map(), *wrong = ahost_make_list();
    heard = 0;
    assert(ahost_connect(h, "alarm", on_event, &heard, NULL) ==
           AHOST_NOT_FOUND);
    run(h, "local signal = require 'ahost.signal'\n"
           "local ctx = require 'ahost.context'.current()\n"
           "alarm = signal.new('alarm')\n"
           "ctx:publish('alarm', alarm)\n"
           "ctx:publish('thing', {})\n"
           "alarm:connect(function(event) level = event.level end)\n");
    assert(ahost_connect(h, "thing", on_event, &heard, NULL) ==
           AHOST_WRONG_TYPE);
    assert(strstr(ahost_errmsg(h), "'thing' is no signal") != NULL);
    assert(ahost_connect(h, "alarm", NULL, NULL, NULL) == AHOST_MISUSE);
    assert(ahost_connect(h, "alarm", on_event, &heard, &connection) ==
           AHOST_OK);
    assert(ahost_emit(h, "alarm", NULL) == AHOST_OK && heard == 0);
    run(h, "alarm:emit{level = 3} assert(level == 3)");
    assert(heard == 3);
    ahost_map_set(event, "level", ahost_make_integer(7));
    assert(ahost_emit(h, "alarm", event) == AHOST_OK);
    run(h, "assert(level == 7)");
    assert(heard == 10); /* and it has disconnected itself */
    assert(ahost_emit(h, "alarm", event) == AHOST_OK && heard == 10);
    assert(ahost_emit(h, "alarm", wrong) == AHOST_MISUSE);
    assert(ahost_emit(h, "nothing", event) == AHOST_NOT_FOUND);
    assert(ahost_connect(h, "alarm", on_event, &heard, &connection) ==
           AHOST_OK); /* left to ahost_close */
    ahost_list_add(wrong, NULL);
    ahost_map_set(event, "list", wrong);
    assert(ahost_emit(h, "alarm", event) == AHOST_NO_MEMORY);
    assert(strstr(ahost_errmsg(h), "not enough memory") != NULL);
    assert(ahost_disconnect(h, NULL) == AHOST_OK);
    ahost_value_free(event);
    ahost_close(h);
}

static int messages;

static void on_message(ahost *h, void *data, const char *name,
                       const ahost_value *list) {
    (void)h;
    (void)data;
    if (strcmp(name, "work") == 0)
        messages += (int)ahost_value_integer(ahost_list_item(list, 1), 0);
    else
        messages += 1000;
}

/* Of one application after the other. */
static void test_bus(void) {
    ahost *h = open_host();
    ahost_connection *init, *work;
    ahost_value *list = ahost_make_list();
    messages = 0;
    assert(ahost_bus_publish(h, "work", NULL) == AHOST_NOT_FOUND);
    assert(strstr(ahost_errmsg(h), "no application runs") != NULL);
    assert(ahost_bus_subscribe(h, "app.init", on_message, NULL, &init) ==
           AHOST_OK);
    assert(ahost_bus_subscribe(h, "work", on_message, NULL, &work) == AHOST_OK);
    run(h, "local application = require 'ahost.application'\n"
           "local task = require 'ahost.task'\n"
           "for i = 1, 2 do\n"
           "  local app = assert(application.new({}, {component = {\n"
           "    start = function(self, ctx)\n"
           "      ctx:require('bus'):subscribe('from c', function(_, n)\n"
           "        total = (total or 0) + n\n"
           "      end)\n"
           "      ctx:require('bus'):publish('work', 'x', i)\n"
           "    end}}))\n"
           "  running = app\n"
           "  app:run()\n"
           "end\n");
    assert(messages == 1001);
    ahost_list_add(list, ahost_make_integer(5));
    assert(ahost_bus_publish(h, "from c", list) == AHOST_OK);
    run(h, "assert(total == 5) running:stop()");
    for (int i = 0; i < 20; i++)
        ahost_step(h, 1);
    assert(messages == 2003);
    assert(ahost_disconnect(h, work) == AHOST_OK);
    run(h, "running.bus:publish('work', 'x', 1)");
    assert(messages == 2003);
    ahost_value_free(list);
    ahost_close(h);
}

int main(void) {
    alarm(50);
    test_methods();
    test_publishing();
    test_signals();
    test_bus();
    return 0;
}
