/*
 * resolve.h - host names to addresses, by getaddrinfo() in libuv's threads.
 */
#ifndef AHOST_RESOLVE_H
#define AHOST_RESOLVE_H

#include <lua.h>
#include <sys/socket.h>
#include "address.h"
#include "task.h"

enum { AHOST__MOST_ADDRESSES = 16 }; /* of one name; more are left out */

/* One lookup. Embedded in whatever needs it, zeroed. What runs in a thread is
 * elsewhere, so that the embedding struct may go once the lookup is stopped. */
typedef struct ahost__resolve {
    int family; /* AF_INET or AF_INET6 to have only those; 0: both */
    int count;
    const struct sockaddr_storage *addresses; /* until ahost__resolve_stop */
    void (*done)(struct ahost__resolve *req, int status);
    struct ahost__lookup *lookup;
} ahost__resolve;

/* Starts to look up the addresses of a host, with the port set in each, in the
 * order of preference of RFC 6724. Literals (and a host that was left out) are
 * looked up as well, which costs a turn of the loop: ask ahost__address_numeric
 * first. Returns 0, then `done` is called in a libuv callback, once, with 0 or
 * a code (UV_EAI_NONAME...) and ahost__ready_run is called after it; or returns
 * a code, and `done` is not called. */
int ahost__resolve_start(ahost *h, ahost__resolve *req,
                         const ahost__address *address,
                         void (*done)(ahost__resolve *req, int status));

/* Lets go of the results, or of the lookup: `done` is not called any more. Fine
 * at any time, in `done` too, and twice. */
void ahost__resolve_stop(ahost__resolve *req);

/* ---- for a function that makes its task wait ---------------------------- */

/* The first member of a userdata; `wait` is set while a task waits. */
typedef struct ahost__resolution {
    ahost__resolve resolve;
    ahost__wait *wait;
} ahost__resolution;

/* Pushes a zeroed userdata of `size` bytes that begins with a resolution and
 * stops it when it is collected. */
void *ahost__push_resolution(lua_State *L, size_t size);

/* `return ahost__await_resolution(...)`: waits for the lookup with the type,
 * whose `op` is the resolution and whose `cancel` has to be the function below.
 * The userdata must be on the stack of the waiting function. */
int ahost__await_resolution(lua_State *L, ahost__resolution *resolution,
                            const ahost__address *address,
                            const ahost__wait_type *type, double timeout);

void ahost__cancel_resolution(ahost__wait *w);

#endif
