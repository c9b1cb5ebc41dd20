/*
 * supervisor.h - the C part of the command that runs several worker processes:
 * it starts them, and keeps their listening sockets.
 */
#ifndef AHOST_SUPERVISOR_H
#define AHOST_SUPERVISOR_H

#include <lua.h>

#include "host.h"
#include "lender.h"

/* ---- listening sockets: socket_keeper.c --------------------------------- */

/* All sockets that workers have asked for. One stays open, though its workers
 * end, until the last of them has given it back. */
typedef struct ahost__keeper {
    ahost *host;
    ahost__link sockets;
} ahost__keeper;

void ahost__keeper_open(ahost *h, ahost__keeper *keeper);

/* The socket that a worker asks for, made when it is asked for first: a
 * descriptor that stays the keeper's, or a negative code. */
int ahost__keeper_lend(ahost__keeper *keeper, int worker,
                       const ahost__lender_request *request);

/* A worker has no use for a socket any more: closes it if nobody else has. */
void ahost__keeper_take_back(ahost__keeper *keeper, int worker,
                             const ahost__lender_request *request);

/* Closes the sockets, and removes the files of Unix sockets. */
void ahost__keeper_close(ahost__keeper *keeper);

/* ---- processes: supervisor.c -------------------------------------------- */

/* Kills all workers at once. May be called from a signal handler. */
void ahost__supervisor_kill(void);

/* The module ahost.supervisor.core. */
int ahost__open_supervisor(lua_State *L);

#endif
