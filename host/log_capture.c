/*
 * log_capture.c - log records as Lua values, for tests.
 *
 * Records of C code may come where Lua cannot be used. They wait as plain bytes
 * then, and become values before the next record of Lua code, by a job, or when
 * somebody looks.
 */
#include <string.h>

#include "listeners.h"
#include "log.h"

#define CAPTURE_TYPE "ahost.log.capture"

enum { DEFAULT_MAX = 10000 };

enum { CAPTURE_RECORDS = 1, CAPTURE_VALUES = 1 };

typedef struct capture {
    ahost *host;
    ahost__owned owned;
    ahost__link link;    /* among the open ones of the host */
    ahost__link waiting; /* records that are no Lua values yet */
    ahost__job job;      /* makes them such */
    lua_Integer max, count, dropped;
    int passes;
} capture;

/* A record of C code that waits; `bytes` hold the logger and the text. */
typedef struct waiting_record {
    ahost__link link;
    int level;
    double time;
    size_t size; /* of the whole */
    const char *text;
    char bytes[];
} waiting_record;

static capture *check_capture(lua_State *L) {
    return luaL_checkudata(L, 1, CAPTURE_TYPE);
}

/* ---- records of C code -------------------------------------------------- */

static waiting_record *copy_record(ahost *h, const ahost__log_record *record) {
    size_t logger = strlen(record->logger) + 1, text = strlen(record->text) + 1;
    size_t size = sizeof(waiting_record) + logger + text;
    waiting_record *copy = ahost__alloc(h, size);
    if (copy == NULL)
        return NULL;
    copy->level = record->level;
    copy->time = ahost__wall(h);
    copy->size = size;
    memcpy(copy->bytes, record->logger, logger);
    memcpy(copy->bytes + logger, record->text, text);
    copy->text = copy->bytes + logger;
    return copy;
}

static void free_record(ahost *h, waiting_record *record) {
    ahost__list_remove(&record->link);
    ahost__free(h, record, record->size);
}

static void keep_waiting(capture *c, const ahost__log_record *record) {
    waiting_record *copy =
        c->count < c->max ? copy_record(c->host, record) : NULL;
    if (copy == NULL) {
        c->dropped++;
        return;
    }
    c->count++;
    ahost__list_append(&c->waiting, &copy->link);
    ahost__job_post(c->host, &c->job);
    ahost__ready_soon(c->host);
}

int ahost__capture_text(ahost *h, const ahost__log_record *record) {
    int passes = 1;
    ahost__link *link;
    for (link = h->captures.next; link != &h->captures; link = link->next) {
        capture *c = ahost__container_of(link, capture, link);
        keep_waiting(c, record);
        passes &= c->passes;
    }
    return passes;
}

/* ---- records as Lua values ---------------------------------------------- */

static void push_new_record(lua_State *L, int level, const char *logger,
                            double time) {
    lua_createtable(L, 0, 6);
    lua_pushstring(L, ahost__log_level_name(level));
    lua_setfield(L, -2, "level");
    lua_pushstring(L, logger);
    lua_setfield(L, -2, "logger");
    lua_pushnumber(L, time);
    lua_setfield(L, -2, "time");
}

/* Appends the record on the top, popped, to those of the capture at `box`. */
static void append(lua_State *L, int box) {
    lua_getiuservalue(L, box, CAPTURE_RECORDS);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

/* Makes values of the records that wait in the capture at `box`. */
static void take_waiting(lua_State *L, capture *c, int box) {
    while (!ahost__list_empty(&c->waiting)) {
        waiting_record *record =
            ahost__container_of(c->waiting.next, waiting_record, link);
        push_new_record(L, record->level, record->bytes, record->time);
        lua_pushstring(L, record->text);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "text");
        lua_setfield(L, -2, "message");
        free_record(c->host, record);
        append(L, box);
    }
}

static void run_take(lua_State *L, ahost__job *job) {
    capture *c = ahost__container_of(job, capture, job);
    ahost__push_addresses(L);
    if (lua_rawgetp(L, -1, c) != LUA_TNIL)
        take_waiting(L, c, lua_gettop(L));
}

/* Keeps the record for the capture on the top. Text, message and data are at
 * index `at`. */
static void keep_values(lua_State *L, capture *c, int at,
                        const ahost__log_record *record) {
    static const char *const names[] = {"text", "message", "data"};
    int box = lua_gettop(L);
    take_waiting(L, c, box);
    if (c->count == c->max) {
        c->dropped++;
        return;
    }
    c->count++;
    push_new_record(L, record->level, record->logger,
                    ahost__wall(ahost__of(L)));
    for (int i = 0; i < 3; i++) {
        lua_pushvalue(L, at + i);
        lua_setfield(L, -2, names[i]);
    }
    append(L, box);
}

/* The captures are put on the stack first: a finalizer may close others. */
int ahost__capture_values(lua_State *L, const ahost__log_record *record) {
    ahost *h = ahost__of(L);
    int top = lua_gettop(L), at = top - 2, passes = 1;
    ahost__link *link;
    ahost__push_addresses(L);
    for (link = h->captures.next; link != &h->captures; link = link->next) {
        luaL_checkstack(L, LUA_MINSTACK, "too many captures");
        lua_rawgetp(L, top + 1, ahost__container_of(link, capture, link));
    }
    while (lua_gettop(L) > top + 1) {
        capture *c = lua_touserdata(L, -1);
        if (c != NULL && ahost__linked(&c->link)) {
            passes &= c->passes;
            keep_values(L, c, at, record);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, top);
    return passes;
}

/* ---- captures ----------------------------------------------------------- */

static void stop(capture *c) {
    ahost__list_remove(&c->link);
    ahost__disown(&c->owned);
}

static void on_context_end(ahost__owned *owned) {
    stop(ahost__container_of(owned, capture, owned));
}

static const ahost__owned_type owned_capture = {"log capture", 0,
                                                on_context_end};

/* Field `name` of the options at index 1, or nil. */
static void push_option(lua_State *L, const char *name) {
    if (lua_isnoneornil(L, 1))
        lua_pushnil(L);
    else
        lua_getfield(L, 1, name);
}

static lua_Integer opt_max(lua_State *L) {
    lua_Integer max = DEFAULT_MAX;
    push_option(L, "max");
    if (!lua_isnil(L, -1)) {
        luaL_argcheck(L, lua_isinteger(L, -1), 1, "max must be an integer");
        max = lua_tointeger(L, -1);
    }
    luaL_argcheck(L, max > 0, 1, "max must be 1 or more");
    lua_pop(L, 1);
    return max;
}

static int opt_passes(lua_State *L) {
    int passes;
    push_option(L, "passes");
    passes = lua_isnil(L, -1) || lua_toboolean(L, -1);
    lua_pop(L, 1);
    return passes;
}

/* log.capture([{passes=, max=}]) -> capture */
int ahost__log_capture(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    lua_Integer max;
    capture *c;
    if (!lua_isnoneornil(L, 1))
        luaL_checktype(L, 1, LUA_TTABLE);
    ahost__context_check_open(L, ctx, "capture");
    lua_settop(L, 1);
    max = opt_max(L);
    c = lua_newuserdatauv(L, sizeof(*c), CAPTURE_VALUES);
    memset(c, 0, sizeof(*c));
    c->host = ahost__of(L);
    c->max = max;
    c->passes = opt_passes(L);
    c->job.run = run_take;
    ahost__list_init(&c->waiting);
    luaL_setmetatable(L, CAPTURE_TYPE);
    lua_newtable(L);
    lua_setiuservalue(L, -2, CAPTURE_RECORDS);
    ahost__push_addresses(L);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, c);
    lua_pop(L, 1);
    ahost__list_append(&c->host->captures, &c->link);
    ahost__own(ctx, &c->owned, &owned_capture);
    return 1;
}

/* capture:close() */
static int capture_close(lua_State *L) {
    stop(check_capture(L));
    return 0;
}

static int capture_gc(lua_State *L) {
    capture *c = check_capture(L);
    stop(c);
    ahost__job_drop(&c->job);
    while (!ahost__list_empty(&c->waiting))
        free_record(c->host,
                    ahost__container_of(c->waiting.next, waiting_record, link));
    return 0;
}

/* Methods, and the fields `records` and `dropped`. */
static int capture_index(lua_State *L) {
    capture *c = check_capture(L);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    lua_settop(L, 2);
    if (strcmp(name, "records") == 0) {
        take_waiting(L, c, 1);
        lua_getiuservalue(L, 1, CAPTURE_RECORDS);
    } else if (strcmp(name, "dropped") == 0) {
        lua_pushinteger(L, c->dropped);
    } else {
        lua_rawget(L, lua_upvalueindex(1));
    }
    return 1;
}

static const luaL_Reg methods[] = {{"close", capture_close}, {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__close", capture_close}, {"__gc", capture_gc}, {NULL, NULL}};

void ahost__open_captures(lua_State *L) {
    ahost__open_listeners(L); /* for the table of addresses */
    luaL_newmetatable(L, CAPTURE_TYPE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, capture_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
