/*
 * address.c - reading and writing addresses.
 *
 * The readers return NULL or a static string that says what is wrong. What
 * they let pass as a host is an IPv4 or IPv6 literal or may be a name: the
 * historical forms of IPv4 ("127.1", "0x7f000001"), which resolvers take for
 * literals, are refused, lest a check of an address and its use differ.
 */
#include "address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <lauxlib.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum { GREATEST_PORT = 65535, QUOTED = 120 /* characters in a message */ };

static const char bad_port[] = "the port must be from 0 to 65535";
static const char no_port[] =
    "the port is missing (the forms are 'host:port', '[::1]:port', ':port', "
    "'unix:/path', 'unix:@name' and 'fd:name')";
static const char bad_literal[] = "this is no IPv6 address";

/* ---- the parts ---------------------------------------------------------- */

static const char *read_port(ahost__address *out, const char *text, size_t n) {
    int port = 0;
    if (n == 0)
        return no_port;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)text[i]))
            return "the port must be digits, from 0 to 65535";
        port = 10 * port + (text[i] - '0');
        if (port > GREATEST_PORT)
            return bad_port;
    }
    out->port = port;
    return NULL;
}

static const char *read_path(ahost__address *out, const char *text, size_t n) {
    int abstract = n > 0 && text[0] == '@';
    out->is_unix = 1;
    if (n <= (size_t)abstract)
        return "the path of the socket is missing";
    if (memchr(text, '\0', n) != NULL)
        return "a path cannot contain a zero byte";
    if (n >= sizeof(out->path) - !abstract)
        return "the path is too long (a socket's has 107 bytes at most)";
    memcpy(out->path, text, n);
    out->path[n] = '\0';
    return NULL;
}

/* The zone after '%' names an interface, or is its index. */
static const char *check_ipv6(const char *host) {
    struct in6_addr unused;
    char literal[INET6_ADDRSTRLEN];
    size_t n = strcspn(host, "%");
    if (n >= sizeof(literal))
        return bad_literal;
    memcpy(literal, host, n);
    literal[n] = '\0';
    if (inet_pton(AF_INET6, literal, &unused) != 1)
        return bad_literal;
    if (host[n] == '\0')
        return NULL;
    n = strlen(host + n + 1);
    if (n == 0 || n >= IF_NAMESIZE)
        return "what follows the '%' must name an interface";
    return NULL;
}

/* Whether a resolver could take the name for a number: its last label is one.
 */
static int looks_like_ipv4(const char *host) {
    const char *dot = strrchr(host, '.');
    const char *label = dot != NULL ? dot + 1 : host;
    if (label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return label[2 + strspn(label + 2, "0123456789abcdefABCDEF")] == '\0';
    return *label != '\0' && label[strspn(label, "0123456789")] == '\0';
}

/* Letters, digits, '-', '_' and what is beyond ASCII, in labels. */
static const char *check_name(const char *host) {
    struct in_addr unused;
    if (host[0] == '.' || strstr(host, "..") != NULL)
        return "the host has an empty label";
    for (const char *c = host; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("-_.", *c) == NULL &&
            (unsigned char)*c < 0x80)
            return "the host has a character that names do not have";
    if (looks_like_ipv4(host) && inet_pton(AF_INET, host, &unused) != 1)
        return "the host is neither a name nor an IPv4 address of four "
               "decimal numbers";
    return NULL;
}

const char *ahost__address_set_host(ahost__address *out, const char *host,
                                    size_t length) {
    if (length >= sizeof(out->host))
        return "the host is too long";
    if (memchr(host, '\0', length) != NULL)
        return "a host cannot contain a zero byte";
    memcpy(out->host, host, length);
    out->host[length] = '\0';
    return memchr(host, ':', length) != NULL ? check_ipv6(out->host)
                                             : check_name(out->host);
}

/* ---- text and tables ---------------------------------------------------- */

/* "[host]:port", where `n` counts all of it */
static const char *read_brackets(ahost__address *out, const char *text,
                                 size_t n) {
    const char *end = memchr(text, ']', n), *wrong;
    size_t host;
    if (end == NULL)
        return "the ']' is missing";
    host = (size_t)(end - text) - 1;
    if (memchr(text + 1, ':', host) == NULL)
        return "only an IPv6 address is written in brackets";
    wrong = ahost__address_set_host(out, text + 1, host);
    if (wrong != NULL)
        return wrong;
    n -= host + 2;
    if (n == 0)
        return no_port;
    if (end[1] != ':')
        return "behind the ']' a ':' and the port are expected";
    return read_port(out, end + 2, n - 1);
}

/* Names are printable characters; digits alone are a descriptor. */
static const char *read_passed(ahost__address *out, const char *text,
                               size_t n) {
    out->is_passed = 1;
    if (n == 0)
        return "the name of the socket is missing (as in 'fd:web' or 'fd:3')";
    if (n >= sizeof(out->host))
        return "the name of the socket is too long";
    for (size_t i = 0; i < n; i++)
        if (!isgraph((unsigned char)text[i]) || text[i] == ':')
            return "the name of a socket has neither blanks nor colons";
    memcpy(out->host, text, n);
    out->host[n] = '\0';
    return NULL;
}

static const char *read_text(ahost__address *out, const char *text, size_t n) {
    const char *colon, *wrong;
    if (n >= 5 && memcmp(text, "unix:", 5) == 0)
        return read_path(out, text + 5, n - 5);
    if (n >= 3 && memcmp(text, "fd:", 3) == 0)
        return read_passed(out, text + 3, n - 3);
    if (n > 0 && text[0] == '[')
        return read_brackets(out, text, n);
    colon = memrchr(text, ':', n);
    if (colon == NULL)
        return no_port;
    if (memchr(text, ':', (size_t)(colon - text)) != NULL)
        return "an IPv6 address is written in brackets, as in '[::1]:80'";
    wrong = ahost__address_set_host(out, text, (size_t)(colon - text));
    if (wrong != NULL)
        return wrong;
    return read_port(out, colon + 1, n - (size_t)(colon - text) - 1);
}

/* The field's value is on the top. A port may be a number or digits. */
static const char *read_field(lua_State *L, ahost__address *out,
                              const char *name) {
    size_t n;
    const char *text;
    int whole;
    lua_Integer port;
    if (strcmp(name, "port") == 0 && lua_type(L, -1) == LUA_TNUMBER) {
        port = lua_tointegerx(L, -1, &whole);
        if (!whole || port < 0 || port > GREATEST_PORT)
            return bad_port;
        out->port = (int)port;
        return NULL;
    }
    if (lua_type(L, -1) != LUA_TSTRING)
        return "host and path must be strings, port a number";
    text = lua_tolstring(L, -1, &n);
    if (strcmp(name, "host") == 0)
        return ahost__address_set_host(out, text, n);
    return strcmp(name, "port") == 0 ? read_port(out, text, n)
                                     : read_path(out, text, n);
}

/* Whether the key on the top is a part of addresses. */
static const char *part_name(lua_State *L) {
    static const char *const names[] = {"host", "port", "path"};
    for (int i = 0; lua_type(L, -1) == LUA_TSTRING && i < 3; i++)
        if (strcmp(lua_tostring(L, -1), names[i]) == 0)
            return names[i];
    return NULL;
}

/* A misspelt key must not turn one interface into all of them. */
static const char *read_table(lua_State *L, int index, ahost__address *out) {
    const char *wrong = NULL;
    int port = 0, host = 0;
    lua_pushnil(L);
    while (wrong == NULL && lua_next(L, index) != 0) {
        const char *name;
        lua_pushvalue(L, -2);
        name = part_name(L);
        lua_pop(L, 1);
        if (name == NULL)
            return "its fields are host and port, or path";
        wrong = read_field(L, out, name);
        port |= strcmp(name, "port") == 0;
        host |= strcmp(name, "host") == 0;
        lua_pop(L, 1);
    }
    if (wrong == NULL && out->is_unix && (port || host))
        return "it has a path as well as a host or port";
    if (wrong == NULL && !out->is_unix && !port)
        return "the port is missing";
    return wrong;
}

/* Pushes the message about the value at `index`. */
static void push_complaint(lua_State *L, int index, const char *wrong) {
    size_t n;
    const char *text;
    if (lua_istable(L, index)) {
        lua_pushfstring(L, "bad address table: %s", wrong);
        return;
    }
    if (lua_type(L, index) != LUA_TSTRING) {
        lua_pushfstring(L, "an address expected (a string or table), got %s",
                        luaL_typename(L, index));
        return;
    }
    text = lua_tolstring(L, index, &n);
    lua_pushlstring(L, text, n > QUOTED ? QUOTED : n);
    lua_pushfstring(L, "bad address '%s%s': %s", lua_tostring(L, -1),
                    n > QUOTED ? "..." : "", wrong);
    lua_remove(L, -2);
}

const char *ahost__address_problem(lua_State *L, int index,
                                   ahost__address *out) {
    const char *wrong, *text;
    size_t n;
    int top = lua_gettop(L);
    index = lua_absindex(L, index);
    memset(out, 0, sizeof(*out));
    if (lua_type(L, index) == LUA_TSTRING) {
        text = lua_tolstring(L, index, &n);
        return read_text(out, text, n);
    }
    if (!lua_istable(L, index))
        return "it is neither a string nor a table";
    wrong = read_table(L, index, out);
    lua_settop(L, top);
    return wrong;
}

int ahost__to_address(lua_State *L, int index, ahost__address *out) {
    const char *wrong = ahost__address_problem(L, index, out);
    if (wrong == NULL)
        return 1;
    push_complaint(L, lua_absindex(L, index), wrong);
    return 0;
}

void ahost__check_address(lua_State *L, int arg, ahost__address *out) {
    if (!ahost__to_address(L, arg, out))
        luaL_argerror(L, arg, lua_tostring(L, -1));
}

/* ---- the kernel's form -------------------------------------------------- */

void ahost__address_to_loopback(ahost__address *address) {
    if (!address->is_unix && address->host[0] == '\0')
        strcpy(address->host, "127.0.0.1");
}

static void fill_unix(const char *path, struct sockaddr_un *out) {
    out->sun_family = AF_UNIX;
    if (path[0] == '@')
        memcpy(out->sun_path + 1, path + 1, strlen(path + 1));
    else
        memcpy(out->sun_path, path, strlen(path));
}

static int ipv6_available(void) {
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    close(fd);
    return 1;
}

/* Zeros are the address of all interfaces. */
static void fill_any(struct sockaddr_storage *out) {
    out->ss_family = ipv6_available() ? AF_INET6 : AF_INET;
}

/* 0 is no index. */
static unsigned zone_index(const char *zone) {
    unsigned index = 0;
    if (zone[strspn(zone, "0123456789")] != '\0')
        return if_nametoindex(zone);
    for (; *zone != '\0'; zone++) {
        if (index > (UINT32_MAX - 9) / 10)
            return 0;
        index = 10 * index + (unsigned)(*zone - '0');
    }
    return index;
}

static int fill_ipv6(const char *host, struct sockaddr_in6 *out) {
    char literal[INET6_ADDRSTRLEN];
    size_t n = strcspn(host, "%");
    if (n >= sizeof(literal))
        return UV_EINVAL;
    memcpy(literal, host, n);
    literal[n] = '\0';
    out->sin6_family = AF_INET6;
    if (inet_pton(AF_INET6, literal, &out->sin6_addr) != 1)
        return UV_EINVAL;
    if (host[n] == '\0')
        return 0;
    out->sin6_scope_id = zone_index(host + n + 1);
    return out->sin6_scope_id != 0 ? 0 : UV_ENODEV;
}

int ahost__address_numeric(const ahost__address *address,
                           struct sockaddr_storage *out) {
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)out;
    int err = 0;
    memset(out, 0, sizeof(*out));
    if (address->is_passed)
        return UV_EINVAL;
    if (address->is_unix) {
        fill_unix(address->path, (struct sockaddr_un *)out);
        return 0;
    }
    if (address->host[0] == '\0')
        fill_any(out);
    else if (inet_pton(AF_INET, address->host, &ipv4->sin_addr) == 1)
        out->ss_family = AF_INET;
    else if (strchr(address->host, ':') != NULL)
        err = fill_ipv6(address->host, (struct sockaddr_in6 *)out);
    else
        return UV_EAI_NONAME;
    ahost__sockaddr_set_port((struct sockaddr *)out, address->port);
    return err;
}

/* The name ends with the array or the first zero, but for the one that makes
 * it abstract. */
static size_t unix_name_length(const struct sockaddr_un *sa) {
    size_t first = sa->sun_path[0] == '\0';
    return first + strnlen(sa->sun_path + first, sizeof(sa->sun_path) - first);
}

static socklen_t unix_length(const struct sockaddr_un *sa) {
    size_t n = unix_name_length(sa);
    if (sa->sun_path[0] == '\0') /* every byte counts in an abstract name */
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return sizeof(*sa);
}

socklen_t ahost__sockaddr_length(const struct sockaddr *sa) {
    switch (sa->sa_family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    default:
        return unix_length((const struct sockaddr_un *)sa);
    }
}

void ahost__sockaddr_set_port(struct sockaddr *sa, int port) {
    if (sa->sa_family == AF_INET)
        ((struct sockaddr_in *)sa)->sin_port = htons((uint16_t)port);
    else if (sa->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)sa)->sin6_port = htons((uint16_t)port);
}

/* ---- the script's form -------------------------------------------------- */

void ahost__push_address(lua_State *L, const ahost__address *address) {
    if (address->is_unix)
        lua_pushfstring(L, "unix:%s", address->path);
    else if (address->is_passed)
        lua_pushfstring(L, "fd:%s", address->host);
    else if (strchr(address->host, ':') != NULL)
        lua_pushfstring(L, "[%s]:%d", address->host, address->port);
    else
        lua_pushfstring(L, "%s:%d", address->host, address->port);
}

static void push_ipv4(lua_State *L, const void *bytes) {
    char text[INET_ADDRSTRLEN];
    lua_pushstring(L, inet_ntop(AF_INET, bytes, text, sizeof(text)));
}

static void push_ipv6(lua_State *L, const struct sockaddr_in6 *sa) {
    char text[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
    inet_ntop(AF_INET6, &sa->sin6_addr, text, sizeof(text));
    if (sa->sin6_scope_id == 0)
        lua_pushstring(L, text);
    else if (if_indextoname(sa->sin6_scope_id, name) != NULL)
        lua_pushfstring(L, "%s%%%s", text, name);
    else
        lua_pushfstring(L, "%s%%%I", text, (LUAI_UACINT)sa->sin6_scope_id);
}

static int is_mapped(const struct sockaddr *sa) {
    return sa->sa_family == AF_INET6 &&
           IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

static void push_unix(lua_State *L, const struct sockaddr_un *sa) {
    size_t n = unix_name_length(sa);
    int abstract = sa->sun_path[0] == '\0';
    lua_pushstring(L, abstract && n > 1 ? "unix:@" : "unix:");
    lua_pushlstring(L, sa->sun_path + abstract, n - (size_t)abstract);
    lua_concat(L, 2);
}

void ahost__push_sockaddr_host(lua_State *L, const struct sockaddr *sa) {
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)sa;
    if (sa->sa_family == AF_INET)
        push_ipv4(L, &((const struct sockaddr_in *)sa)->sin_addr);
    else if (is_mapped(sa))
        push_ipv4(L, ipv6->sin6_addr.s6_addr + 12);
    else
        push_ipv6(L, ipv6);
}

void ahost__push_sockaddr(lua_State *L, const struct sockaddr *sa) {
    int brackets = sa->sa_family == AF_INET6 && !is_mapped(sa);
    /* both families have the port at the same place */
    int port = ntohs(((const struct sockaddr_in *)sa)->sin_port);
    if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6) {
        push_unix(L, (const struct sockaddr_un *)sa);
        return;
    }
    ahost__push_sockaddr_host(L, sa);
    lua_pushfstring(L, brackets ? "[%s]:%d" : "%s:%d", lua_tostring(L, -1),
                    port);
    lua_remove(L, -2);
}
