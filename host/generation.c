/*
 * generation.c - activating and retiring the generations of components, and
 * waiting for those that are retired to serve no more.
 */
#include "generation.h"

#include "lease.h"

/* ---- activation --------------------------------------------------------- */

static void activate_owned(ahost__context *ctx) {
    ahost__link *link = ctx->owned.next;
    while (link != &ctx->owned) {
        ahost__owned *owned = ahost__container_of(link, ahost__owned, link);
        link = link->next;
        if (owned->type->activate != NULL)
            owned->type->activate(owned);
    }
}

static void activate_waits(const ahost__context *ctx) {
    ahost__link *link;
    for (link = ctx->tasks.next; link != &ctx->tasks; link = link->next) {
        ahost__task *task = ahost__container_of(link, ahost__task, link);
        ahost__wait *w = &task->wait;
        if (task->state == AHOST__TASK_WAITING && w->type != NULL &&
            w->status == AHOST__PENDING && w->type->activate != NULL)
            w->type->activate(w);
    }
}

static void activate(ahost__context *ctx) {
    ahost__link *link;
    ctx->staged = 0;
    activate_owned(ctx);
    activate_waits(ctx);
    for (link = ctx->children.next; link != &ctx->children; link = link->next)
        activate(ahost__container_of(link, ahost__context, link));
}

void ahost__generation_activate(ahost__context *ctx) {
    ctx->host->commits++;
    activate(ctx);
}

/* ---- retirement --------------------------------------------------------- */

static void retire_owned(ahost__context *ctx) {
    ahost__link *link = ctx->owned.next;
    while (link != &ctx->owned) {
        ahost__owned *owned = ahost__container_of(link, ahost__owned, link);
        link = link->next;
        if (owned->type->retire != NULL && !owned->serving)
            owned->type->retire(owned);
    }
}

/* A listener's call that waits for its first turn: its event came before the
 * retirement, and nobody else hears it. */
static int is_delivery(const ahost__task *task) {
    return task->logger != NULL && !task->started;
}

static void cancel_tasks(const ahost__context *ctx) {
    ahost__link *link;
    for (link = ctx->tasks.next; link != &ctx->tasks; link = link->next) {
        ahost__task *task = ahost__container_of(link, ahost__task, link);
        if (!task->serves && !is_delivery(task))
            ahost__task_cancel(task);
    }
}

static void retire(ahost__context *ctx) {
    ahost__link *link;
    ctx->retired = 1;
    retire_owned(ctx);
    if (ctx->watch != NULL)
        return; /* below it are connections */
    cancel_tasks(ctx);
    for (link = ctx->children.next; link != &ctx->children; link = link->next)
        retire(ahost__container_of(link, ahost__context, link));
}

void ahost__generation_retire(ahost__context *ctx) {
    ctx->host->commits++;
    retire(ctx);
}

/* ---- what is still served ----------------------------------------------- */

int ahost__generation_serves(const ahost__context *ctx) {
    const ahost__link *link;
    if (ctx->watch != NULL)
        return !ahost__list_empty(&ctx->children);
    if (ctx->serving > 0)
        return 1;
    for (link = ctx->children.next; link != &ctx->children; link = link->next)
        if (ahost__generation_serves(
                ahost__container_of(link, ahost__context, link)))
            return 1;
    return 0;
}

void ahost__generation_drained(ahost *h) {
    ahost__link *link = h->drains.next;
    while (link != &h->drains) {
        ahost__wait *w = ahost__container_of(link, ahost__wait, link);
        link = link->next;
        if (!ahost__generation_serves(w->op))
            ahost__settle(w, 0);
    }
}

/* -> true | nil, err */
static int finish_drain(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "the connections of a component");
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type drain_wait = {"the connections of a component",
                                            finish_drain, NULL};

/* runtime.drained(ctx, [timeout]) -> true | nil, err: waits until the
 * generation serves no more */
int ahost__runtime_drained(lua_State *L) {
    ahost__context *ctx = ahost__check_context(L, 1);
    double timeout = ahost__opt_timeout(L, 2);
    ahost__wait *w = ahost__wait_begin(L, &drain_wait, ctx);
    ahost__list_append(&ctx->host->drains, &w->link);
    ahost__wait_timeout(w, timeout);
    if (!ahost__generation_serves(ctx))
        ahost__settle(w, 0);
    return ahost__await(L, w);
}

/* ---- the other functions ------------------------------------------------ */

/* runtime.activate(ctx): the generation is the current one from now on */
int ahost__runtime_activate(lua_State *L) {
    ahost__generation_activate(ahost__check_context(L, 1));
    return 0;
}

/* runtime.retire(ctx): a newer one has taken its place */
int ahost__runtime_retire(lua_State *L) {
    ahost__generation_retire(ahost__check_context(L, 1));
    return 0;
}

/* runtime.replace(ctx, is_replaced): another generation of the component is to
 * follow, or is not after all */
int ahost__runtime_replace(lua_State *L) {
    ahost__check_context(L, 1)->replaced = (uint8_t)lua_toboolean(L, 2);
    return 0;
}

/* runtime.replaced(ctx) -> whether its component is to end with the next
 * commit, or has been followed by another generation */
int ahost__runtime_replaced(lua_State *L) {
    lua_pushboolean(L, ahost__context_is_replaced(ahost__check_context(L, 1)));
    return 1;
}

/* runtime.serves(ctx) -> whether a connection, or a task that belongs to one,
 * is left */
int ahost__runtime_serves(lua_State *L) {
    lua_pushboolean(L, ahost__generation_serves(ahost__check_context(L, 1)));
    return 1;
}

/* runtime.prepare_sockets() -> true | nil, err: what staged generations have
 * bound listens from now on */
int ahost__runtime_prepare_sockets(lua_State *L) {
    if (ahost__leases_prepare(L) != 0)
        return 2;
    lua_pushboolean(L, 1);
    return 1;
}

/* runtime.keep_sockets(ctx): those that listen stay open when their component
 * ends, until they are released */
int ahost__runtime_keep_sockets(lua_State *L) {
    ahost__leases_keep(ahost__check_context(L, 1));
    return 0;
}

/* runtime.release_sockets(): closes those kept that nobody has taken */
int ahost__runtime_release_sockets(lua_State *L) {
    ahost__leases_release(ahost__of(L));
    return 0;
}
