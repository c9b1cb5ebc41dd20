/*
 * resource.h - resources: values published in contexts for others to find.
 */
#ifndef AHOST_RESOURCE_H
#define AHOST_RESOURCE_H

#include <lua.h>
#include "context.h"
#include "stage.h"

/* Stands in the values of a context for what a factory makes; as a light
 * userdata it cannot be mistaken for a value. */
extern const char ahost__lazy;

/* Fields of the description of a component's resource, which it is withdrawn
 * by: its keys, each also a field whose value is its longer spelling, if there
 * is one; and its attribute. */
enum { AHOST__ENTRY_KEYS = 1, AHOST__ENTRY_ATTRIBUTE };

/* Places on the stack of whatever looks for a resource. */
enum { AHOST__AT_CONTEXT = 1, AHOST__AT_KEY };

/* The context and the key at their places; raises unless both are good and the
 * context is not closed. */
ahost__context *ahost__check_lookup(lua_State *L, const char *what);

/* Whether it is a key: "type" or "type/name". */
int ahost__is_key(const char *key, size_t length);

/* Pushes the short form of the key at `arg` ("mailer", not "mailer/default"),
 * or raises. */
void ahost__push_key(lua_State *L, int arg);

/* Pushes the value of the nearest resource with the key at AHOST__AT_KEY, which
 * may be ahost__lazy, and returns its context; NULL, with nothing pushed, when
 * there is none. */
ahost__context *ahost__find_resource(lua_State *L, ahost__context *ctx);

/* Leaves the value to be returned on the top, with the factory called if there
 * is one, which may wait: `return ahost__resolve(L)`. Returns 0 with nothing
 * pushed when there is no such resource. */
int ahost__resolve(lua_State *L);

/* The same, and the component that asks holds the value. */
int ahost__resolve_held(lua_State *L);

/* The factory's turn: `owner` has published the lazy resource. -> value */
int ahost__make_resource(lua_State *L, ahost__context *owner);

/* Where what is published in the context appears: a component's resources are
 * there for the whole application, those of a staged one on its stage. NULL
 * when that has been closed. */
static inline ahost__context *ahost__resource_home(ahost__context *ctx) {
    if (ctx->kind != AHOST__CONTEXT_COMPONENT)
        return ctx;
    if (!ctx->staged || ctx->parent->staged) /* of an isolated one: all new */
        return ctx->parent;
    return ahost__stage_of(ctx->parent);
}

/* Takes what a component has published out of its home; allocates nothing. */
void ahost__resource_withdraw(ahost__context *ctx);

/* Takes what the component has published out of the tables of resources at
 * three places of the stack, from `tables` on: values, entries, attributes. */
void ahost__resource_withdraw_from(lua_State *L, ahost__context *ctx,
                                   int tables);

/* The value of the key at AHOST__AT_KEY, which `owner` has, is taken through
 * `ctx`: the component that this belongs to holds it from now on. */
void ahost__resource_hold(lua_State *L, ahost__context *ctx,
                          const ahost__context *owner);

/* The component that `ctx` belongs to has a reference to the key at
 * AHOST__AT_KEY. */
void ahost__resource_refer(lua_State *L, ahost__context *ctx);

/* Raises NOTFOUND for the key at AHOST__AT_KEY. */
int ahost__raise_not_found(lua_State *L);

/* The key that is waited for, or NULL when the wait is for something else. */
const char *ahost__requested_key(const ahost__wait *w);

/* Wakes those who wait for the short key in the context or below it; of a
 * stage, those who see it. */
void ahost__wake_requests(ahost__context *ctx, const char *key);

/* Tells those who listen to the home's `published` of the key on the top, pops
 * it. */
void ahost__announce_resource(lua_State *L, ahost__context *home);

/* A function that is a data attribute is on the top; for that of a lazy
 * resource, puts the key in the place of the name and resolves it. -> value */
int ahost__resource_attribute(lua_State *L);

/* Pushes the signal of the context's home, ctx.published, making it when
 * needed; returns 1. */
int ahost__push_published(lua_State *L, ahost__context *ctx);

/* The keys, in their short form, that a component has published, and those that
 * it has looked up: -> array. `ctx` is at index 1. */
int ahost__resource_published(lua_State *L);
int ahost__resource_held(lua_State *L);
int ahost__resource_referred(lua_State *L);
int ahost__resource_provider(lua_State *L);

/* ctx:publish, publish_lazy, resources; ctx:request; ctx:ref */
int ahost__resource_publish(lua_State *L);
int ahost__resource_publish_lazy(lua_State *L);
int ahost__resource_list(lua_State *L);
int ahost__resource_request(lua_State *L);
int ahost__resource_ref(lua_State *L);

/* Adds the methods to the table on the top; the metatable of contexts is at
 * index `metatable`. */
void ahost__open_resources(lua_State *L, int metatable);

#endif
