/*
 * net.h - the functions of ahost.net, which several files implement.
 */
#ifndef AHOST_NET_H
#define AHOST_NET_H

#include <lua.h>
#include <sys/socket.h>

#include "address.h"

/* The name of a Unix socket's own end, or of its peer: 0 or a code. */
int ahost__unix_name(int fd, int peer, struct sockaddr_storage *name);

/* A new non-blocking socket of the family, or a negative code. */
int ahost__new_socket(int family, int type);

/* Pushes opts[name] of the table at `arg`, or nil. */
void ahost__push_option(lua_State *L, int arg, const char *name);

int ahost__net_connect(lua_State *L);
int ahost__net_listen(lua_State *L);
int ahost__net_serve(lua_State *L);
int ahost__net_resolve(lua_State *L);
int ahost__net_udp(lua_State *L);

/* The metatables of what these functions return. */
void ahost__open_stream(lua_State *L);
void ahost__open_listener(lua_State *L);
void ahost__open_server(lua_State *L);

int ahost__open_net(lua_State *L);

#endif
