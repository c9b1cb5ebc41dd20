/*
 * udp_open.c - net.udp: opening a socket for datagrams.
 *
 * Both ends may be names, so that opening may wait twice; what has been read of
 * the arguments lies in a userdata meanwhile.
 */
#include <errno.h>
#include <lauxlib.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "net.h"
#include "resolve.h"
#include "udp.h"

enum { QUEUE = 64, GREATEST_QUEUE = 65536, UNSET = AHOST__UDP_UNSET };

/* Places on the stack of net.udp. */
enum { ADDRESS = 1, OPTIONS, OPENING };

enum { LOCAL, PEER, ENDS };

typedef struct endpoint {
    int given;
    ahost__address address;
    struct sockaddr_storage numeric;
} endpoint;

typedef struct opening {
    ahost__resolution resolution;
    endpoint ends[ENDS];
    int at; /* the end that is being resolved */
    ahost__udp_options options;
    int queue;
} opening;

/* ---- options ------------------------------------------------------------ */

static int bad_option(lua_State *L, const char *name, const char *expected) {
    return luaL_error(L, "net.udp: option '%s' must be %s, got %s", name,
                      expected, luaL_tolstring(L, -1, NULL));
}

static int read_flag(lua_State *L, const char *name, int fallback) {
    int type = lua_getfield(L, OPTIONS, name);
    if (type == LUA_TBOOLEAN)
        fallback = lua_toboolean(L, -1);
    else if (type != LUA_TNIL)
        bad_option(L, name, "true or false");
    lua_pop(L, 1);
    return fallback;
}

/* A whole number from 1 on. */
static int read_count(lua_State *L, const char *name, int greatest,
                      int fallback) {
    int whole;
    lua_Integer n;
    if (lua_getfield(L, OPTIONS, name) != LUA_TNIL) {
        n = lua_tointegerx(L, -1, &whole);
        if (!whole || n < 1 || n > greatest)
            bad_option(L, name, lua_pushfstring(L, "from 1 to %d", greatest));
        fallback = (int)n;
    }
    lua_pop(L, 1);
    return fallback;
}

static void read_interface(lua_State *L, opening *o) {
    static const char option[] = "multicast_interface";
    size_t n;
    if (lua_getfield(L, OPTIONS, option) != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING || (n = lua_rawlen(L, -1)) == 0 ||
            n >= IF_NAMESIZE)
            bad_option(L, option, "the name of an interface");
        strcpy(o->options.multicast_interface, lua_tostring(L, -1));
    }
    lua_pop(L, 1);
}

static void check_network(lua_State *L, int arg, const ahost__address *a) {
    luaL_argcheck(L, !a->is_unix && !a->is_passed, arg,
                  "datagrams are sent over the network only");
}

static void read_peer(lua_State *L, endpoint *peer) {
    peer->given = lua_getfield(L, OPTIONS, "connect") != LUA_TNIL;
    if (peer->given && !ahost__to_address(L, -1, &peer->address))
        luaL_argerror(L, OPTIONS, lua_tostring(L, -1));
    check_network(L, OPTIONS, &peer->address);
    luaL_argcheck(L, !peer->given || peer->address.port != 0, OPTIONS,
                  "port 0 cannot be connected to");
    ahost__address_to_loopback(&peer->address);
    lua_pop(L, 1);
}

static void read_options(lua_State *L, opening *o) {
    if (lua_isnil(L, OPTIONS)) {
        lua_newtable(L);
        lua_replace(L, OPTIONS);
    }
    luaL_checktype(L, OPTIONS, LUA_TTABLE);
    read_peer(L, &o->ends[PEER]);
    o->options.reuseaddr = read_flag(L, "reuseaddr", 0);
    o->options.reuseport = read_flag(L, "reuseport", 0);
    o->options.broadcast = read_flag(L, "broadcast", 0);
    o->options.ttl = read_count(L, "ttl", 255, UNSET);
    o->options.multicast_ttl = read_count(L, "multicast_ttl", 255, UNSET);
    o->options.multicast_loop = read_flag(L, "multicast_loop", UNSET);
    o->queue = read_count(L, "queue", GREATEST_QUEUE, QUEUE);
    read_interface(L, o);
}

/* Without an address the peer decides the family; without a peer any address
 * of both families will do. */
static void read_address(lua_State *L, opening *o) {
    endpoint *local = &o->ends[LOCAL];
    local->given = !lua_isnil(L, ADDRESS) || !o->ends[PEER].given;
    if (lua_isnil(L, ADDRESS))
        return;
    ahost__check_address(L, ADDRESS, &local->address);
    check_network(L, ADDRESS, &local->address);
}

/* ---- the socket --------------------------------------------------------- */

static int set_option(int file, int level, int option, int value) {
    if (setsockopt(file, level, option, &value, sizeof(value)) != 0)
        return uv_translate_sys_error(errno);
    return 0;
}

/* Sets an option that each family has one of. A socket of IPv6 sends to IPv4
 * addresses as well, where the system knows about mapped ones. */
static int set_for_families(const ahost__udp *u, int ipv4, int ipv6,
                            int value) {
    int file = ahost__udp_file(u), err;
    if (value == UNSET)
        return 0;
    err = set_option(file, IPPROTO_IP, ipv4, value);
    if (u->family == AF_INET6)
        err = set_option(file, IPPROTO_IPV6, ipv6, value);
    return err;
}

static int set_interface(const ahost__udp *u, const char *name) {
    struct ip_mreqn request = {0};
    int file = ahost__udp_file(u), index = (int)if_nametoindex(name);
    if (name[0] == '\0')
        return 0;
    if (index == 0)
        return UV_ENODEV;
    request.imr_ifindex = index;
    if (setsockopt(file, IPPROTO_IP, IP_MULTICAST_IF, &request,
                   sizeof(request)) != 0 &&
        u->family == AF_INET)
        return uv_translate_sys_error(errno);
    return u->family == AF_INET6
               ? set_option(file, IPPROTO_IPV6, IPV6_MULTICAST_IF, index)
               : 0;
}

int ahost__udp_set_options(const ahost__udp *u) {
    const ahost__udp_options *o = &u->options;
    int err = 0;
    if (o->broadcast)
        err = set_option(ahost__udp_file(u), SOL_SOCKET, SO_BROADCAST, 1);
    if (err == 0)
        err = set_for_families(u, IP_TTL, IPV6_UNICAST_HOPS, o->ttl);
    if (err == 0)
        err = set_for_families(u, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS,
                               o->multicast_ttl);
    if (err == 0)
        err = set_for_families(u, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP,
                               o->multicast_loop);
    return err != 0 ? err : set_interface(u, o->multicast_interface);
}

/* "All interfaces" is an address of IPv6; its socket takes both families. */
static int bind_socket(ahost__udp *u, const opening *o) {
    const endpoint *local = &o->ends[LOCAL];
    unsigned flags = u->options.reuseaddr ? UV_UDP_REUSEADDR : 0;
    if (!local->given)
        return 0;
    if (u->family == AF_INET6 && local->address.host[0] == '\0') {
        int err = set_option(ahost__udp_file(u), IPPROTO_IPV6, IPV6_V6ONLY, 0);
        if (err != 0)
            return err;
    }
    return uv_udp_bind(&u->handle, (const struct sockaddr *)&local->numeric,
                       flags);
}

static int connect_socket(ahost__udp *u, opening *o) {
    endpoint *peer = &o->ends[PEER];
    int err;
    if (!peer->given)
        return 0;
    err = uv_udp_connect(&u->handle, (const struct sockaddr *)&peer->numeric);
    u->connected = err == 0;
    return err;
}

/* -> nil, err; says which end it was that failed */
static int fail(lua_State *L, const opening *o, int end, int err) {
    ahost__push_address(L, &o->ends[end].address);
    return ahost__fail(L, err, "udp %s", lua_tostring(L, -1));
}

/* Binds and connects the new socket: 0, or a code and the end that failed. */
static int set_up(ahost__udp *u, opening *o, int *end) {
    int err = u->options.reuseport
                  ? set_option(ahost__udp_file(u), SOL_SOCKET, SO_REUSEPORT, 1)
                  : 0;
    if (err == 0)
        err = ahost__udp_set_options(u);
    if (err == 0)
        err = bind_socket(u, o);
    if (err != 0)
        return err;
    *end = PEER;
    return connect_socket(u, o);
}

/* The socket that this one is to follow, or NULL. */
static ahost__udp *find_predecessor(ahost__context *ctx, opening *o) {
    const endpoint *local = &o->ends[LOCAL];
    return local->given ? ahost__udp_predecessor(ctx, &local->numeric,
                                                 &o->ends[PEER].numeric)
                        : NULL;
}

/* -> socket | nil, err */
static int open_socket(lua_State *L, opening *o) {
    ahost__context *ctx = ahost__context_current(L);
    int end = o->ends[LOCAL].given ? LOCAL : PEER, err;
    int family = o->ends[end].numeric.ss_family;
    ahost__udp *u, *predecessor;
    ahost__context_check_open(L, ctx, "udp");
    if (o->ends[PEER].given)
        ahost__udp_suit_family(family, &o->ends[PEER].numeric);
    predecessor = find_predecessor(ctx, o);
    u = ahost__push_udp(L, ctx, predecessor != NULL ? AF_UNSPEC : family, &err);
    if (u == NULL)
        return fail(L, o, end, err);
    u->options = o->options;
    u->queue_limit = (size_t)o->queue;
    if (predecessor != NULL)
        err = ahost__udp_follow(u, predecessor);
    else
        err = set_up(u, o, &end);
    if (err == 0 && predecessor == NULL && o->ends[LOCAL].given)
        ahost__udp_enlist(u, &o->ends[LOCAL].numeric, &o->ends[PEER].numeric);
    if (err == 0)
        return 1;
    ahost__udp_close(u);
    return fail(L, o, o->ends[end].given ? end : LOCAL, err);
}

/* ---- names -------------------------------------------------------------- */

static int go_on(lua_State *L, opening *o);

static int finish_lookup(lua_State *L, ahost__wait *w) {
    opening *o = w->op;
    ahost__resolve *found = &o->resolution.resolve;
    if (w->status == 0)
        o->ends[o->at].numeric = found->addresses[0];
    ahost__resolve_stop(found);
    if (w->status != 0)
        return fail(L, o, o->at, w->status);
    o->at++;
    return go_on(L, o);
}

static const ahost__wait_type lookup_wait = {
    "look up an end of a UDP socket", finish_lookup, ahost__cancel_resolution};

/* The peer has to be of the family of the local end. */
static int look_up(lua_State *L, opening *o) {
    int family = o->ends[LOCAL].numeric.ss_family;
    o->resolution.resolve.family = family == AF_INET ? AF_INET : 0;
    return ahost__await_resolution(L, &o->resolution, &o->ends[o->at].address,
                                   &lookup_wait, -1);
}

/* Resolves one end after the other, then opens. -> socket | nil, err */
static int go_on(lua_State *L, opening *o) {
    for (; o->at < ENDS; o->at++) {
        endpoint *end = &o->ends[o->at];
        int err = end->given
                      ? ahost__address_numeric(&end->address, &end->numeric)
                      : 0;
        if (err == UV_EAI_NONAME)
            return look_up(L, o);
        if (err != 0)
            return fail(L, o, o->at, err);
    }
    return open_socket(L, o);
}

/* net.udp([address], [opts]) -> socket | nil, err */
int ahost__net_udp(lua_State *L) {
    opening *o;
    lua_settop(L, OPTIONS);
    o = ahost__push_resolution(L, sizeof(*o));
    read_options(L, o);
    read_address(L, o);
    return go_on(L, o);
}
