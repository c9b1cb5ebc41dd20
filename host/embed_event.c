/*
 * embed_event.c - signals and the bus from C: emitting, publishing, listening.
 *
 * A connection is a listener in Lua, a C function whose upvalue finds the
 * connection for as long as there is one. Those to the bus that are made
 * outside components hear every application that the host runs.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bus.h"
#include "embed.h"
#include "error.h"
#include "host.h"
#include "signals.h"
#include "value.h"

/* What the listener in Lua knows of a connection. */
typedef struct end {
    ahost_connection *connection; /* NULL once it has ended */
} end;

struct ahost_connection {
    ahost__link link; /* among the host's */
    end *end;         /* in Lua; held by the registry, under our address */
    ahost_event_function *fn;
    void *data;
    int is_bus;
    int follows; /* the bus of whatever application runs */
    char name[]; /* key or message */
};

/* The fields of the table that the registry has under the address. */
enum { LISTENER = 1, TARGET };

/* ---- hearing ------------------------------------------------------------ */

/* (event of a signal), or (message, ...). Upvalues: the end, the name. */
static int hear(lua_State *L) {
    const end *e = lua_touserdata(L, lua_upvalueindex(1));
    ahost_connection *c = e->connection;
    int last = lua_gettop(L), err = AHOST_OK;
    ahost_value *value;
    if (c == NULL)
        return 0;
    value = c->is_bus ? ahost_make_list() : ahost__read_value(L, 1);
    for (int i = 2; c->is_bus && i <= last && err == AHOST_OK; i++)
        err = ahost_list_add(value, ahost__read_value(L, i));
    if (value != NULL && err == AHOST_OK)
        c->fn(ahost__of(L), c->data, lua_tostring(L, lua_upvalueindex(2)),
              value);
    else
        err = AHOST_NO_MEMORY;
    ahost_value_free(value);
    return err == AHOST_OK ? 0 : luaL_error(L, "not enough memory");
}

/* ---- connecting --------------------------------------------------------- */

/* Calls target:method(arguments...), the arguments being on the top. */
static void call_method(lua_State *L, int target, const char *method,
                        int arguments) {
    target = lua_absindex(L, target);
    lua_getfield(L, target, method);
    lua_insert(L, -arguments - 1);
    lua_pushvalue(L, target);
    lua_insert(L, -arguments - 1);
    lua_call(L, arguments + 1, 0);
}

/* Pushes the signal of a key; raises unless there is one. */
static void push_signal(lua_State *L, const char *key) {
    ahost__push_resource(L, key);
    if (lua_isnil(L, -1))
        ahost__raise(L, AHOST__NOTFOUND, "there is no resource '%s'", key);
    if (luaL_testudata(L, -1, "ahost.signal") == NULL)
        ahost__raise(L, AHOST__WRONGTYPE, "resource '%s' is no signal but a %s",
                     key, luaL_typename(L, -1));
}

/* Pushes the bus of the application; raises NOTFOUND when there is none. */
static void push_bus(lua_State *L) {
    ahost__push_resource(L, "bus");
    if (luaL_testudata(L, -1, "ahost.bus") == NULL)
        ahost__raise(L, AHOST__NOTFOUND,
                     "no application runs, so there is no "
                     "bus");
}

/* Pushes the table of a connection, a new one with a listener. */
static void push_new_table(lua_State *L, ahost_connection *c) {
    lua_createtable(L, 2, 0);
    c->end = lua_newuserdatauv(L, sizeof(end), 0);
    c->end->connection = c;
    lua_pushstring(L, c->name);
    lua_pushcclosure(L, hear, 2);
    lua_rawseti(L, -2, LISTENER);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, c);
}

/* Makes the listener of the connection's table at `table` listen to the value
 * on the top, a signal or a bus; pops that. */
static void attach(lua_State *L, const ahost_connection *c, int table) {
    int target = lua_gettop(L);
    if (c->is_bus)
        lua_pushstring(L, c->name);
    lua_rawgeti(L, table, LISTENER);
    call_method(L, target, c->is_bus ? "subscribe" : "connect",
                c->is_bus ? 2 : 1);
    lua_rawseti(L, table, TARGET);
}

/* A program's own connections are those made outside of any component. */
static int is_programs(lua_State *L) {
    const ahost *h = ahost__of(L);
    return h->current == NULL || ahost__context_current(L) == h->root;
}

/* (connection) */
static int open_in_lua(lua_State *L) {
    ahost_connection *c = lua_touserdata(L, 1);
    const ahost *h = ahost__of(L);
    lua_settop(L, 0);
    push_new_table(L, c);
    if (!c->is_bus) {
        push_signal(L, c->name);
        attach(L, c, 1);
        return 0;
    }
    c->follows = is_programs(L);
    if (c->follows && h->application == NULL)
        return 0; /* when one runs */
    push_bus(L);
    attach(L, c, 1);
    return 0;
}

void ahost__attach_connections(lua_State *L, int bus) {
    const ahost *h = ahost__of(L);
    const ahost__link *link = h->program_ends.next;
    bus = lua_absindex(L, bus);
    for (; link != &h->program_ends; link = link->next) {
        ahost_connection *c = ahost__container_of(link, ahost_connection, link);
        if (!c->follows)
            continue;
        lua_rawgetp(L, LUA_REGISTRYINDEX, c);
        lua_pushvalue(L, bus);
        attach(L, c, lua_gettop(L) - 1);
        lua_pop(L, 1);
    }
}

static void forget(ahost *h, ahost_connection *c) {
    lua_State *L = h->runs.L;
    if (c->end != NULL)
        c->end->connection = NULL;
    if (lua_checkstack(L, 2)) { /* an entry that is there: nothing is made */
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, c);
    }
    ahost__list_remove(&c->link);
    free(c);
}

static int open_connection(ahost *h, const char *function, const char *name,
                           int is_bus, ahost_event_function *fn, void *data,
                           ahost_connection **connection) {
    ahost_connection *c;
    int err = ahost__check(h, function, AHOST__GOING_ON);
    if (connection != NULL)
        *connection = NULL;
    if (err != AHOST_OK)
        return err;
    if (name == NULL || fn == NULL)
        return ahost__refuse(h, AHOST_MISUSE, "%s: no %s", function,
                             name == NULL ? "name" : "function");
    c = calloc(1, sizeof(*c) + strlen(name) + 1);
    if (c == NULL)
        return ahost__refuse(h, AHOST_NO_MEMORY, "not enough memory");
    strcpy(c->name, name);
    c->is_bus = is_bus;
    c->fn = fn;
    c->data = data;
    err = ahost__protect(h, open_in_lua, c);
    if (err != AHOST_OK) {
        forget(h, c);
        return err;
    }
    ahost__list_append(&h->program_ends, &c->link);
    if (connection != NULL)
        *connection = c;
    return AHOST_OK;
}

int ahost_connect(ahost *h, const char *key, ahost_event_function *fn,
                  void *data, ahost_connection **connection) {
    return open_connection(h, "ahost_connect", key, 0, fn, data, connection);
}

int ahost_bus_subscribe(ahost *h, const char *message, ahost_event_function *fn,
                        void *data, ahost_connection **connection) {
    return open_connection(h, "ahost_bus_subscribe", message, 1, fn, data,
                           connection);
}

/* ---- disconnecting ------------------------------------------------------ */

/* (connection) */
static int disconnect(lua_State *L) {
    const ahost_connection *c = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, c);
    if (lua_rawgeti(L, -1, TARGET) == LUA_TNIL)
        return 0;
    if (c->is_bus)
        lua_pushstring(L, c->name);
    lua_rawgeti(L, 2, LISTENER);
    call_method(L, 3, c->is_bus ? "unsubscribe" : "disconnect",
                c->is_bus ? 2 : 1);
    return 0;
}

int ahost_disconnect(ahost *h, ahost_connection *c) {
    int err = ahost__check(h, "ahost_disconnect", 0);
    if (err != AHOST_OK || c == NULL)
        return err;
    if (!h->finished)
        err = ahost__protect(h, disconnect, c);
    forget(h, c); /* in any case it hears no more */
    return err;
}

void ahost__connections_free(ahost *h) {
    ahost__link *link;
    while ((link = ahost__list_shift(&h->program_ends)) != NULL)
        free(ahost__container_of(link, ahost_connection, link));
}

/* ---- telling ------------------------------------------------------------ */

typedef struct telling {
    const char *name;
    const ahost_value *value;
} telling;

/* (telling) */
static int emit(lua_State *L) {
    const telling *t = lua_touserdata(L, 1);
    push_signal(L, t->name);
    ahost__push_value(L, t->value);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    ahost__signal_emit(L, -2);
    return 0;
}

int ahost_emit(ahost *h, const char *key, const ahost_value *event) {
    telling t = {key, event};
    ahost_kind kind = ahost_value_kind(event);
    int err = ahost__check(h, "ahost_emit", AHOST__GOING_ON);
    if (err != AHOST_OK)
        return err;
    if (key == NULL)
        return ahost__refuse(h, AHOST_MISUSE, "ahost_emit: no key");
    if (event != NULL && event->broken)
        return ahost__refuse(h, AHOST_NO_MEMORY, "not enough memory");
    if (kind != AHOST_NULL && kind != AHOST_MAP)
        return ahost__refuse(h, AHOST_MISUSE,
                             "ahost_emit: an event is a map, or NULL");
    return ahost__protect(h, emit, &t);
}

/* (telling) */
static int publish(lua_State *L) {
    const telling *t = lua_touserdata(L, 1);
    int arguments;
    push_bus(L);
    lua_pushstring(L, t->name);
    arguments = ahost__push_items(L, t->value);
    ahost__bus_publish(L, 2, arguments + 1);
    return 0;
}

int ahost_bus_publish(ahost *h, const char *message, const ahost_value *list) {
    telling t = {message, list};
    int err = ahost__check(h, "ahost_bus_publish", AHOST__GOING_ON);
    if (err != AHOST_OK)
        return err;
    if (message == NULL)
        return ahost__refuse(h, AHOST_MISUSE, "ahost_bus_publish: no message");
    err = ahost__check_list(h, "ahost_bus_publish", list);
    return err == AHOST_OK ? ahost__protect(h, publish, &t) : err;
}
