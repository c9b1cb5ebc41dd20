/*
 * address.h - addresses of streams and datagrams: what scripts write, and what
 * the kernel takes and tells.
 *
 * "host:port", "[::1]:80", ":8080", "unix:/path", "unix:@abstract", or a table
 * {host=, port=} or {path=}. "fd:name" and "fd:3" are sockets that the program
 * was started with.
 */
#ifndef AHOST_ADDRESS_H
#define AHOST_ADDRESS_H

#include <lua.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct ahost__address {
    int is_unix;
    int is_passed;  /* `host` holds what comes behind "fd:" */
    int port;       /* 0 to 65535 */
    char host[256]; /* a name or a literal, without brackets; "": left out */
    /* Of a Unix socket; an abstract name begins with '@' and may use the byte
     * that ends a path. */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
} ahost__address;

/* Reads the string or table at `index`. NULL when it is an address, else a
 * static string that says what is wrong with it. */
const char *ahost__address_problem(lua_State *L, int index,
                                   ahost__address *out);

/* Reads the string or table at `index`. True when it is an address, else false
 * and pushes what is wrong with it: "bad address 'x': the port is missing...".
 */
int ahost__to_address(lua_State *L, int index, ahost__address *out);

/* The same for an argument of a function: raises what is wrong. */
void ahost__check_address(lua_State *L, int arg, ahost__address *out);

/* Reads a host alone, a name or a literal without brackets. NULL, or a static
 * string that says what is wrong. */
const char *ahost__address_set_host(ahost__address *out, const char *host,
                                    size_t length);

/* A host that was left out becomes loopback, as suits who connects. */
void ahost__address_to_loopback(ahost__address *address);

/* Fills `out` when nothing has to be looked up: 0. A host that was left out
 * means all interfaces, of both families where there is IPv6. UV_EAI_NONAME:
 * the host is a name; UV_ENODEV: no such interface as the one behind the '%';
 * UV_EINVAL: it is a passed socket. */
int ahost__address_numeric(const ahost__address *address,
                           struct sockaddr_storage *out);

/* How many bytes of it bind() and its like are to be told. */
socklen_t ahost__sockaddr_length(const struct sockaddr *sa);

void ahost__sockaddr_set_port(struct sockaddr *sa, int port);

/* Pushes the address as scripts write it, for messages too. */
void ahost__push_address(lua_State *L, const ahost__address *address);

/* Pushes "127.0.0.1:80", "[fe80::1%eth0]:80" or "unix:/path". An IPv4 address
 * mapped into IPv6 (a peer of a socket of both families) reads as IPv4. The
 * bytes behind the path of a Unix address must be 0; "unix:" has no name. */
void ahost__push_sockaddr(lua_State *L, const struct sockaddr *sa);

/* The same without a port and brackets: "127.0.0.1", "fe80::1%eth0". */
void ahost__push_sockaddr_host(lua_State *L, const struct sockaddr *sa);

#endif
