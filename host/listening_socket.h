/*
 * listening_socket.h - making sockets that connections come to.
 */
#ifndef AHOST_LISTENING_SOCKET_H
#define AHOST_LISTENING_SOCKET_H

#include <lua.h>
#include <stdint.h>

#include "address.h"

typedef struct ahost__listen_options {
    int backlog, reuseport, mode; /* mode of a Unix socket; -1: as it comes */
    uint64_t owner; /* the component that listens: a hash of its path, or 0 */
} ahost__listen_options;

/* Reads the options of the table at `arg`. */
void ahost__listen_options_read(lua_State *L, int arg,
                                ahost__listen_options *options);

/* Whether the address is that of a file. */
int ahost__address_is_file(const ahost__address *address);

/* A bound socket to which nobody can connect yet, or a negative code. The
 * address needs no lookup. */
int ahost__bound_socket(const ahost__address *address,
                        const ahost__listen_options *options);

/* A bound and listening one. The mode is set before anybody can connect. */
int ahost__listening_socket(const ahost__address *address,
                            const ahost__listen_options *options);

#endif
