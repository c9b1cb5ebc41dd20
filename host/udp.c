/*
 * udp.c - sockets for datagrams.
 *
 * A socket reads ahead, from its first receive on, until its queue is full;
 * the rest waits in the kernel's buffer, and what does not fit there is lost as
 * datagrams are. A datagram is sent at once, or copied when the kernel has no
 * room, and its task waits until it has.
 *
 * The structure outlives its userdata or the other way round: whichever of the
 * handle's closing and the garbage collection comes second frees it.
 */
#include <errno.h>
#include <lauxlib.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "resolve.h"
#include "udp.h"

#define UDP_TYPE "ahost.net.udp"

enum {
    QUEUE_BYTES = 256 * 1024,  /* read ahead */
    UNSENT_BYTES = 1024 * 1024 /* copies of what the kernel had no room for */
};

typedef ahost__datagram datagram;

static ahost__udp *check_udp(lua_State *L) {
    return *(ahost__udp **)luaL_checkudata(L, 1, UDP_TYPE);
}

/* ---- the end ------------------------------------------------------------ */

static void free_datagram(ahost__udp *u, datagram *d) {
    ahost__list_remove(&d->link);
    ahost__free(u->host, d, sizeof(*d) + d->size);
}

static void free_datagrams(ahost__udp *u, ahost__link *list) {
    while (!ahost__list_empty(list))
        free_datagram(u, ahost__container_of(list->next, datagram, link));
}

static void free_if_over(ahost__udp *u) {
    if (!u->closed || !u->collected)
        return;
    free_datagrams(u, &u->delivered);
    ahost__free(u->host, u, sizeof(*u));
}

static void on_closed(uv_handle_t *handle) {
    ahost__udp *u = ahost__container_of((uv_udp_t *)handle, ahost__udp, handle);
    u->closed = 1;
    free_if_over(u);
}

/* What is being sent is given up by libuv, which tells each of its tasks. */
void ahost__udp_close(ahost__udp *u) {
    if (u->closing)
        return;
    u->closing = 1;
    ahost__disown(&u->owned);
    ahost__udp_delist(u);
    free_datagrams(u, &u->queue);
    u->queued = u->queued_bytes = 0;
    uv_close((uv_handle_t *)&u->handle, on_closed);
    ahost__settle_all(&u->receivers, AHOST__CLOSED);
}

static void close_owned(ahost__owned *owned) {
    ahost__udp_close(ahost__container_of(owned, ahost__udp, owned));
}

static void describe(lua_State *L, ahost__owned *owned) {
    const ahost__udp *u = ahost__container_of(owned, ahost__udp, owned);
    struct sockaddr_storage name = {0};
    struct sockaddr *sa = (struct sockaddr *)&name;
    int size = sizeof(name);
    if (uv_udp_getsockname(&u->handle, sa, &size) != 0)
        return;
    ahost__push_sockaddr(L, sa);
    lua_setfield(L, -2, "address");
}

static const ahost__owned_type owned_type = {
    "UDP socket",       0, close_owned, 0, describe, ahost__udp_retire,
    ahost__udp_activate};

/* socket:close(), and its `__close` */
static int udp_close(lua_State *L) {
    ahost__udp_close(check_udp(L));
    return 0;
}

static int udp_gc(lua_State *L) {
    ahost__udp **box = luaL_checkudata(L, 1, UDP_TYPE), *u = *box;
    if (u == NULL)
        return 0;
    *box = NULL;
    ahost__udp_close(u);
    u->collected = 1;
    free_if_over(u);
    return 0;
}

/* ---- receiving ---------------------------------------------------------- */

static int is_full(const ahost__udp *u) {
    return u->queued >= u->queue_limit || u->queued_bytes >= QUEUE_BYTES;
}

void ahost__udp_read_stop(ahost__udp *u) {
    if (u->reading)
        uv_udp_recv_stop(&u->handle);
    u->reading = 0;
}

static void on_buffer(uv_handle_t *handle, size_t unused, uv_buf_t *buffer) {
    ahost__udp *u = ahost__container_of((uv_udp_t *)handle, ahost__udp, handle);
    (void)unused;
    *buffer = uv_buf_init(u->host->read_buffer, AHOST__READ_BUFFER);
}

/* A copy of what was read, or NULL for want of memory. */
static datagram *copy(ahost__udp *u, ssize_t nread, const char *data,
                      const struct sockaddr *from) {
    size_t size = nread > 0 ? (size_t)nread : 0;
    datagram *d = ahost__alloc(u->host, sizeof(*d) + size);
    if (d == NULL)
        return NULL;
    d->size = size;
    d->status = nread < 0 ? (int)nread : 0;
    if (size > 0)
        memcpy(d->data, data, size);
    if (from != NULL)
        memcpy(&d->from, from, ahost__sockaddr_length(from));
    return d;
}

/* Gives it to who has waited longest, else keeps it. */
static void deliver(ahost__udp *u, datagram *d) {
    ahost__wait *w = ahost__wait_first(&u->receivers);
    if (w != NULL) {
        ahost__list_append(&u->delivered, &d->link);
        w->value = (int64_t)(intptr_t)d;
        ahost__settle(w, 0);
        return;
    }
    ahost__list_append(&u->queue, &d->link);
    u->queued++;
    u->queued_bytes += d->size;
    if (is_full(u))
        ahost__udp_read_stop(u);
}

/* libuv says with 0 bytes from nowhere that there is nothing more to read. */
static void on_datagram(uv_udp_t *handle, ssize_t nread, const uv_buf_t *buffer,
                        const struct sockaddr *from, unsigned flags) {
    ahost__udp *u = ahost__container_of(handle, ahost__udp, handle);
    ahost *h = u->host;
    datagram *d = NULL;
    if (nread == 0 && from == NULL)
        return;
    u->received += nread >= 0;
    if ((flags & UV_UDP_PARTIAL) == 0)
        d = copy(u, nread, buffer->base, from);
    if (d != NULL)
        deliver(u, d);
    else
        u->dropped++;
    ahost__ready_run(h);
}

int ahost__udp_read_start(ahost__udp *u) {
    int err;
    u->wants = 1;
    if (u->reading || u->paused || u->retired)
        return 0;
    err = uv_udp_recv_start(&u->handle, on_buffer, on_datagram);
    u->reading = err == 0;
    return err;
}

/* Takes the oldest off the queue; reading goes on when half of it is free. */
static datagram *take(ahost__udp *u) {
    ahost__link *first = ahost__list_shift(&u->queue);
    datagram *d = ahost__container_of(first, datagram, link);
    ahost__list_append(&u->delivered, first);
    u->queued--;
    u->queued_bytes -= d->size;
    if (u->queued <= u->queue_limit / 2 && u->queued_bytes <= QUEUE_BYTES / 2)
        ahost__udp_read_start(u);
    return d;
}

void ahost__udp_serve_receivers(ahost__udp *u) {
    ahost__wait *w;
    while (!ahost__list_empty(&u->queue) &&
           (w = ahost__wait_first(&u->receivers)) != NULL) {
        w->value = (int64_t)(intptr_t)take(u);
        ahost__settle(w, 0);
    }
}

/* -> data, address | nil, err */
static int push_datagram(lua_State *L, ahost__udp *u, datagram *d) {
    int status = d->status;
    if (status == 0) {
        lua_pushlstring(L, d->data, d->size);
        ahost__push_sockaddr(L, (const struct sockaddr *)&d->from);
    }
    free_datagram(u, d);
    return status == 0 ? 2 : ahost__fail(L, status, "receive");
}

static int finish_receive(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return ahost__fail(L, w->status, "receive");
    return push_datagram(L, w->op, (datagram *)(intptr_t)w->value);
}

static const ahost__wait_type receive_wait = {"receive a datagram",
                                              finish_receive, NULL};

/* socket:receive([timeout]) -> data, address | nil, err */
static int udp_receive(lua_State *L) {
    ahost__udp *u = check_udp(L);
    double timeout = ahost__opt_timeout(L, 2);
    int waiting = ahost__list_empty(&u->queue), err = 0;
    ahost__wait *w;
    if (u->closing || (waiting && u->retired))
        return ahost__fail(L, AHOST__CLOSED, "receive");
    if (!waiting && !ahost__must_yield(L))
        return push_datagram(L, u, take(u));
    w = ahost__wait_begin(L, &receive_wait, u);
    if (waiting) {
        err = ahost__udp_read_start(u);
        ahost__wait_timeout(w, timeout);
        ahost__list_append(&u->receivers, &w->link);
    } else {
        w->value = (int64_t)(intptr_t)take(u);
    }
    if (!waiting || err != 0)
        ahost__settle(w, err);
    return ahost__await(L, w);
}

/* ---- sending ------------------------------------------------------------ */

/* A copy on its way. */
typedef struct unsent {
    uv_udp_send_t request;
    ahost__udp *socket;
    ahost__wait *wait; /* NULL when the task no longer waits */
    size_t size;
    char data[];
} unsent;

static void on_sent(uv_udp_send_t *request, int status) {
    unsent *s = ahost__container_of(request, unsent, request);
    ahost__udp *u = s->socket;
    ahost *h = u->host;
    h->socket_requests--;
    if (status == UV_ECANCELED)
        status = AHOST__CLOSED;
    u->sent += status == 0;
    if (s->wait != NULL)
        ahost__settle(s->wait, status);
    ahost__free(h, s, sizeof(*s) + s->size);
    ahost__ready_run(h);
}

static int sent(lua_State *L, int err) {
    if (err != 0)
        return ahost__fail(L, err, "send");
    lua_pushboolean(L, 1);
    return 1;
}

static int finish_send(lua_State *L, ahost__wait *w) {
    return sent(L, w->status);
}

/* The datagram leaves all the same. */
static void cancel_send(ahost__wait *w) {
    unsent *s = w->op;
    s->wait = NULL;
}

static const ahost__wait_type send_wait = {"send a datagram", finish_send,
                                           cancel_send};

/* The wait's `op` exists when something can cancel it: only then it waits. */
static int start_send(ahost__udp *u, ahost__wait *w, const char *data,
                      size_t size, const struct sockaddr *to) {
    unsent *s = ahost__alloc(u->host, sizeof(*s) + size);
    uv_buf_t buffer;
    int err;
    if (s == NULL)
        return UV_ENOMEM;
    s->socket = u;
    s->size = size;
    s->wait = w;
    w->op = s;
    memcpy(s->data, data, size);
    buffer = uv_buf_init(s->data, (unsigned)size);
    err = uv_udp_send(&s->request, &u->handle, &buffer, 1, to, on_sent);
    if (err != 0)
        ahost__free(u->host, s, sizeof(*s) + size);
    else
        u->host->socket_requests++;
    return err;
}

/* The kernel has no room now. -> true | nil, err */
static int send_later(lua_State *L, ahost__udp *u, const char *data,
                      size_t size, const struct sockaddr *to) {
    ahost__wait *w;
    int err;
    if (uv_udp_get_send_queue_size(&u->handle) + size > UNSENT_BYTES)
        return sent(L, UV_ENOBUFS);
    w = ahost__wait_begin(L, &send_wait, NULL);
    err = start_send(u, w, data, size, to);
    if (err != 0)
        ahost__settle(w, err);
    return ahost__await(L, w);
}

void ahost__udp_suit_family(int family, struct sockaddr_storage *address) {
    struct sockaddr_in ipv4;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)address;
    if (family != AF_INET6 || address->ss_family != AF_INET)
        return;
    memcpy(&ipv4, address, sizeof(ipv4));
    memset(address, 0, sizeof(*address));
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = ipv4.sin_port;
    ipv6->sin6_addr.s6_addr[10] = ipv6->sin6_addr.s6_addr[11] = 0xff;
    memcpy(ipv6->sin6_addr.s6_addr + 12, &ipv4.sin_addr, 4);
}

/* Sends the string at index 2; `to` is NULL when the socket is connected.
 * -> true | nil, err */
static int send_string(lua_State *L, ahost__udp *u,
                       struct sockaddr_storage *to) {
    size_t size;
    const char *data = lua_tolstring(L, 2, &size);
    const struct sockaddr *address = (const struct sockaddr *)to;
    uv_buf_t buffer;
    int err;
    if (u->closing)
        return sent(L, AHOST__CLOSED);
    if (size > AHOST__READ_BUFFER)
        return sent(L, UV_EMSGSIZE);
    if (to != NULL)
        ahost__udp_suit_family(u->family, to);
    buffer.base = (char *)(uintptr_t)data;
    buffer.len = size;
    err = uv_udp_try_send(&u->handle, &buffer, 1, address);
    if (err == UV_EAGAIN)
        return send_later(L, u, data, size, address);
    u->sent += err >= 0;
    return sent(L, err < 0 ? err : 0);
}

typedef struct sending {
    ahost__resolution resolution;
    ahost__udp *socket;
} sending;

static int finish_lookup(lua_State *L, ahost__wait *w) {
    sending *s = w->op;
    struct sockaddr_storage to;
    if (w->status == 0)
        to = s->resolution.resolve.addresses[0];
    ahost__resolve_stop(&s->resolution.resolve);
    if (w->status != 0)
        return sent(L, w->status);
    return send_string(L, s->socket, &to);
}

static const ahost__wait_type lookup_wait = {
    "look up where to send", finish_lookup, ahost__cancel_resolution};

/* A socket of IPv4 alone cannot send to an IPv6 address. */
static int send_to_name(lua_State *L, ahost__udp *u,
                        const ahost__address *address) {
    sending *s = ahost__push_resolution(L, sizeof(*s));
    s->socket = u;
    s->resolution.resolve.family = u->family == AF_INET ? AF_INET : 0;
    return ahost__await_resolution(L, &s->resolution, address, &lookup_wait,
                                   -1);
}

static void check_destination(lua_State *L, int arg, ahost__address *address) {
    ahost__check_address(L, arg, address);
    luaL_argcheck(L, !address->is_unix && !address->is_passed, arg,
                  "datagrams are sent over the network only");
    luaL_argcheck(L, address->port != 0, arg, "port 0 cannot be sent to");
    ahost__address_to_loopback(address);
}

/* socket:send(data, [address]) -> true | nil, err */
static int udp_send(lua_State *L) {
    ahost__udp *u = check_udp(L);
    ahost__address address;
    struct sockaddr_storage to;
    int err;
    luaL_checktype(L, 2, LUA_TSTRING);
    luaL_argcheck(L, !u->connected || lua_isnoneornil(L, 3), 3,
                  "a connected socket sends to its peer only");
    lua_settop(L, 3);
    if (u->connected)
        return send_string(L, u, NULL);
    check_destination(L, 3, &address);
    if (u->closing)
        return sent(L, AHOST__CLOSED);
    err = ahost__address_numeric(&address, &to);
    if (err == UV_EAI_NONAME)
        return send_to_name(L, u, &address);
    return err != 0 ? sent(L, err) : send_string(L, u, &to);
}

/* ---- other methods ------------------------------------------------------ */

static int push_name(lua_State *L, ahost__udp *u,
                     int (*get)(const uv_udp_t *, struct sockaddr *, int *)) {
    struct sockaddr_storage name = {0};
    int size = sizeof(name);
    int err = u->closing ? AHOST__CLOSED
                         : get(&u->handle, (struct sockaddr *)&name, &size);
    if (err != 0)
        return ahost__fail(L, err, "address");
    ahost__push_sockaddr(L, (const struct sockaddr *)&name);
    return 1;
}

/* socket:address() -> address | nil, err */
static int udp_address(lua_State *L) {
    return push_name(L, check_udp(L), uv_udp_getsockname);
}

/* socket:peer() -> address | nil, err */
static int udp_peer(lua_State *L) {
    return push_name(L, check_udp(L), uv_udp_getpeername);
}

static void set_count(lua_State *L, const char *name, lua_Integer n) {
    lua_pushinteger(L, n);
    lua_setfield(L, -2, name);
}

/* socket:stats() -> {received=, sent=, dropped=, queued=, queued_bytes=} */
static int udp_stats(lua_State *L) {
    ahost__udp *u = check_udp(L);
    lua_createtable(L, 0, 5);
    set_count(L, "received", u->received);
    set_count(L, "sent", u->sent);
    set_count(L, "dropped", u->dropped);
    set_count(L, "queued", (lua_Integer)u->queued);
    set_count(L, "queued_bytes", (lua_Integer)u->queued_bytes);
    return 1;
}

int ahost__udp_file(const ahost__udp *u) {
    uv_os_fd_t fd = -1;
    uv_fileno((const uv_handle_t *)&u->handle, &fd);
    return fd;
}

/* Index of the named interface; 0, the system's choice, for none. */
static unsigned interface_index(lua_State *L, int arg) {
    const char *name = luaL_optstring(L, arg, NULL);
    unsigned index = name != NULL ? if_nametoindex(name) : 0;
    return index != 0 || name == NULL ? index : (unsigned)-1;
}

/* The calls of RFC 3678, which name the interface by its index for both
 * families. -> true | nil, err */
static int change_membership(lua_State *L, const char *op, int option) {
    ahost__udp *u = check_udp(L);
    size_t length;
    const char *group = luaL_checklstring(L, 2, &length);
    struct group_req request = {.gr_interface = interface_index(L, 3)};
    ahost__address address = {0};
    int level, err = UV_EAI_NONAME;
    if (length > 0 && ahost__address_set_host(&address, group, length) == NULL)
        err = ahost__address_numeric(&address, &request.gr_group);
    luaL_argcheck(L, err != UV_EAI_NONAME, 2, "an IP address expected");
    if (u->closing)
        err = AHOST__CLOSED;
    else if (request.gr_interface == (unsigned)-1)
        err = UV_ENODEV;
    level = request.gr_group.ss_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
    if (err == 0 && setsockopt(ahost__udp_file(u), level, option, &request,
                               sizeof(request)) != 0)
        err = uv_translate_sys_error(errno);
    if (err == UV_EADDRINUSE && u->shares)
        err = 0; /* the one that it follows has joined the group */
    if (err != 0)
        return ahost__fail(L, err, "%s %s", op, group);
    lua_pushboolean(L, 1);
    return 1;
}

/* socket:join(group, [interface]) -> true | nil, err */
static int udp_join(lua_State *L) {
    return change_membership(L, "join", MCAST_JOIN_GROUP);
}

/* socket:leave(group, [interface]) -> true | nil, err */
static int udp_leave(lua_State *L) {
    return change_membership(L, "leave", MCAST_LEAVE_GROUP);
}

/* "UDP socket: 127.0.0.1:53" */
static int udp_tostring(lua_State *L) {
    ahost__udp *u = check_udp(L);
    if (u->closing || push_name(L, u, uv_udp_getsockname) != 1)
        lua_pushliteral(L, "closed");
    lua_pushfstring(L, "UDP socket: %s", lua_tostring(L, -1));
    return 1;
}

static const luaL_Reg methods[] = {
    {"send", udp_send},   {"receive", udp_receive}, {"address", udp_address},
    {"peer", udp_peer},   {"join", udp_join},       {"leave", udp_leave},
    {"stats", udp_stats}, {"close", udp_close},     {NULL, NULL}};

static const luaL_Reg meta[] = {{"__tostring", udp_tostring},
                                {"__close", udp_close},
                                {"__gc", udp_gc},
                                {NULL, NULL}};

static void set_metatable(lua_State *L) {
    if (luaL_newmetatable(L, UDP_TYPE)) {
        luaL_setfuncs(L, meta, 0);
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
    }
    lua_setmetatable(L, -2);
}

static ahost__udp *new_udp(ahost *h, int family, int *err) {
    ahost__udp *u = ahost__alloc(h, sizeof(*u));
    *err = u != NULL ? uv_udp_init_ex(h->loop, &u->handle, (unsigned)family)
                     : UV_ENOMEM;
    if (*err != 0) {
        ahost__free(h, u, sizeof(*u));
        return NULL;
    }
    u->host = h;
    u->family = family;
    ahost__list_init(&u->queue);
    ahost__list_init(&u->delivered);
    ahost__list_init(&u->receivers);
    return u;
}

ahost__udp *ahost__push_udp(lua_State *L, ahost__context *ctx, int family,
                            int *err) {
    ahost__udp **box = lua_newuserdatauv(L, sizeof(ahost__udp *), 0);
    *box = NULL;
    set_metatable(L);
    *box = new_udp(ahost__of(L), family, err);
    if (*box != NULL)
        ahost__own(ctx, &(*box)->owned, &owned_type);
    return *box;
}
