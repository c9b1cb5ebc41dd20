/*
 * activation.h - sockets that the program was started with: something else has
 * bound them and listens already, as systemd does (LISTEN_FDS), so that no
 * connection is refused while the program starts, and ports are free of rights.
 */
#ifndef AHOST_ACTIVATION_H
#define AHOST_ACTIVATION_H

#include <lua.h>

#include "ahost.h"

typedef struct ahost__passed_socket {
    int fd, in_use;
    char name[256];
} ahost__passed_socket;

typedef struct ahost__activation {
    int count;
    ahost__passed_socket sockets[];
} ahost__activation;

/* Takes the sockets out of the environment, once, lest programs that are
 * started believe that they are theirs. 0 or a code. */
int ahost__activation_take(ahost *h);

/* A listening stream socket that nobody uses yet, by its name or its number: 0
 * or a code, AHOST__NOTFOUND when there is none. It is never closed. */
int ahost__passed_socket_use(ahost *h, const char *name,
                             ahost__passed_socket **socket, int *is_unix);
void ahost__passed_socket_release(ahost__passed_socket *socket);

void ahost__activation_free(ahost *h);

/* systemd.protocol.sockets() -> {{fd=, name=}, ...} */
int ahost__activation_sockets(lua_State *L);

#endif
