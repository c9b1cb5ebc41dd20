/*
 * resolve.c - host names to addresses.
 *
 * getaddrinfo() cannot be interrupted once a thread is at it. A lookup that is
 * stopped is cut off from its request and freed when the thread has finished;
 * the loop lives as long.
 */
#include "resolve.h"

#include <math.h>
#include <string.h>

#include "host.h"
#include "net.h"

#define RESOLUTION_TYPE "ahost.resolution"

typedef struct ahost__lookup {
    uv_getaddrinfo_t uv;
    ahost *host;
    ahost__resolve *req; /* NULL once stopped */
    int port;
    int running; /* the thread or its callback still needs this */
    struct sockaddr_storage addresses[AHOST__MOST_ADDRESSES];
} ahost__lookup;

/* ---- the lookup --------------------------------------------------------- */

static void free_lookup(ahost__lookup *lookup) {
    ahost__free(lookup->host, lookup, sizeof(*lookup));
}

static int is_known(const ahost__resolve *req,
                    const struct sockaddr_storage *one) {
    for (int i = 0; i < req->count; i++)
        if (memcmp(&req->addresses[i], one, sizeof(*one)) == 0)
            return 1;
    return 0;
}

/* Takes the addresses over, each once: a hosts file may repeat them. */
static int collect(ahost__lookup *lookup, const struct addrinfo *info) {
    ahost__resolve *req = lookup->req;
    req->addresses = lookup->addresses;
    for (; info != NULL && req->count < AHOST__MOST_ADDRESSES;
         info = info->ai_next) {
        struct sockaddr_storage *next = &lookup->addresses[req->count];
        if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
            continue;
        memset(next, 0, sizeof(*next));
        memcpy(next, info->ai_addr, info->ai_addrlen);
        ahost__sockaddr_set_port((struct sockaddr *)next, lookup->port);
        req->count += !is_known(req, next);
    }
    return req->count > 0 ? 0 : UV_EAI_NODATA;
}

static void on_looked_up(uv_getaddrinfo_t *uv, int status,
                         struct addrinfo *info) {
    ahost__lookup *lookup = ahost__container_of(uv, ahost__lookup, uv);
    ahost *h = lookup->host;
    lookup->running = 0;
    if (lookup->req == NULL) {
        free_lookup(lookup);
    } else {
        if (status == 0)
            status = collect(lookup, info);
        lookup->req->done(lookup->req, status);
    }
    uv_freeaddrinfo(info);
    ahost__ready_run(h);
}

int ahost__resolve_start(ahost *h, ahost__resolve *req,
                         const ahost__address *address,
                         void (*done)(ahost__resolve *req, int status)) {
    /* One kind of socket, or every address comes once for each. */
    struct addrinfo hints = {.ai_family = req->family,
                             .ai_socktype = SOCK_STREAM};
    const char *host = address->host[0] != '\0' ? address->host : "localhost";
    ahost__lookup *lookup;
    int err;
    if (address->is_unix)
        return UV_EINVAL;
    lookup = ahost__alloc(h, sizeof(*lookup));
    if (lookup == NULL)
        return UV_ENOMEM;
    lookup->host = h;
    err =
        uv_getaddrinfo(h->loop, &lookup->uv, on_looked_up, host, NULL, &hints);
    if (err != 0) {
        free_lookup(lookup);
        return err;
    }
    lookup->running = 1;
    lookup->req = req;
    lookup->port = address->port;
    req->lookup = lookup;
    req->done = done;
    req->count = 0;
    req->addresses = NULL;
    return 0;
}

void ahost__resolve_stop(ahost__resolve *req) {
    ahost__lookup *lookup = req->lookup;
    if (lookup == NULL)
        return;
    req->lookup = NULL;
    req->addresses = NULL;
    req->count = 0;
    lookup->req = NULL;
    if (lookup->running)
        uv_cancel((uv_req_t *)&lookup->uv); /* in vain when it has begun */
    else
        free_lookup(lookup);
}

/* ---- waiting for it ----------------------------------------------------- */

static int resolution_gc(lua_State *L) {
    ahost__resolution *resolution = lua_touserdata(L, 1);
    ahost__resolve_stop(&resolution->resolve);
    return 0;
}

void *ahost__push_resolution(lua_State *L, size_t size) {
    void *resolution = lua_newuserdatauv(L, size, 0);
    memset(resolution, 0, size);
    if (luaL_newmetatable(L, RESOLUTION_TYPE)) {
        lua_pushcfunction(L, resolution_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return resolution;
}

static void on_resolved(ahost__resolve *req, int status) {
    ahost__resolution *resolution =
        ahost__container_of(req, ahost__resolution, resolve);
    ahost__settle(resolution->wait, status);
}

int ahost__await_resolution(lua_State *L, ahost__resolution *resolution,
                            const ahost__address *address,
                            const ahost__wait_type *type, double timeout) {
    ahost__wait *w = ahost__wait_begin(L, type, resolution);
    int err = ahost__resolve_start(ahost__of(L), &resolution->resolve, address,
                                   on_resolved);
    resolution->wait = w;
    if (err != 0)
        ahost__settle(w, err);
    else
        ahost__wait_timeout(w, timeout);
    return ahost__await(L, w);
}

void ahost__cancel_resolution(ahost__wait *w) {
    ahost__resolution *resolution = w->op;
    ahost__resolve_stop(&resolution->resolve);
}

/* ---- net.resolve -------------------------------------------------------- */

/* Places on the stack of net.resolve. */
enum { HOST = 1, OPTIONS, QUERY };

static const double unset = -HUGE_VAL; /* an option that is not given */

typedef struct query {
    ahost__resolution resolution;
    ahost__address address;
    int with_port;
    double timeout;
} query;

/* Appends one address to the list on the top. */
static void add_address(lua_State *L, const query *q, int i,
                        const struct sockaddr_storage *address) {
    if (q->with_port)
        ahost__push_sockaddr(L, (const struct sockaddr *)address);
    else
        ahost__push_sockaddr_host(L, (const struct sockaddr *)address);
    lua_rawseti(L, -2, i + 1);
}

static int fail(lua_State *L, int code) {
    return ahost__fail(L, code, "resolve %s", lua_tostring(L, HOST));
}

static int finish_resolve(lua_State *L, ahost__wait *w) {
    query *q = w->op;
    ahost__resolve *found = &q->resolution.resolve;
    if (w->status != 0) {
        ahost__resolve_stop(found);
        return fail(L, w->status);
    }
    lua_createtable(L, found->count, 0);
    for (int i = 0; i < found->count; i++)
        add_address(L, q, i, &found->addresses[i]);
    ahost__resolve_stop(found);
    return 1;
}

static const ahost__wait_type resolve_wait = {"resolve", finish_resolve,
                                              ahost__cancel_resolution};

static void read_host(lua_State *L, ahost__address *address) {
    size_t length;
    const char *host = luaL_checklstring(L, HOST, &length), *wrong;
    luaL_argcheck(L, length > 0, HOST, "the host is missing");
    wrong = ahost__address_set_host(address, host, length);
    if (wrong == NULL)
        return;
    lua_pushfstring(L, "bad host '%s': %s", host, wrong);
    luaL_argerror(L, HOST, lua_tostring(L, -1));
}

static int read_family(lua_State *L) {
    const char *name;
    int family = 0;
    ahost__push_option(L, OPTIONS, "family");
    if (!lua_isnil(L, -1)) {
        name = lua_tostring(L, -1);
        if (name != NULL && strcmp(name, "ipv4") == 0)
            family = AF_INET;
        else if (name != NULL && strcmp(name, "ipv6") == 0)
            family = AF_INET6;
        else
            luaL_error(L,
                       "net.resolve: option 'family' is \"ipv4\" or \"ipv6\"");
    }
    lua_pop(L, 1);
    return family;
}

static void read_options(lua_State *L, query *q) {
    double port = ahost__opt_number(L, OPTIONS, "port", unset);
    q->timeout = ahost__opt_number(L, OPTIONS, "timeout", unset);
    q->with_port = port != unset;
    luaL_argcheck(L, !q->with_port || (port >= 0 && port <= 65535), OPTIONS,
                  "the port must be from 0 to 65535");
    luaL_argcheck(L, q->timeout == unset || q->timeout >= 0, OPTIONS,
                  "a timeout must be >= 0 seconds");
    q->address.port = q->with_port ? (int)port : 0;
    q->resolution.resolve.family = read_family(L);
}

/* What is no name needs no lookup. -> {address} | nil, err */
static int answer_literal(lua_State *L, const query *q, int err,
                          const struct sockaddr_storage *address) {
    int family = q->resolution.resolve.family;
    if (err == 0 && family != 0 && family != address->ss_family)
        err = UV_EAI_ADDRFAMILY;
    if (err != 0)
        return fail(L, err);
    lua_createtable(L, 1, 0);
    add_address(L, q, 0, address);
    return 1;
}

int ahost__net_resolve(lua_State *L) {
    struct sockaddr_storage address;
    query *q;
    int err;
    lua_settop(L, OPTIONS);
    q = ahost__push_resolution(L, sizeof(*q));
    read_host(L, &q->address);
    read_options(L, q);
    err = ahost__address_numeric(&q->address, &address);
    if (err != UV_EAI_NONAME)
        return answer_literal(L, q, err, &address);
    return ahost__await_resolution(L, &q->resolution, &q->address,
                                   &resolve_wait, q->timeout);
}
