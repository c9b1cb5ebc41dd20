/*
 * listener.c - accepting connections.
 */
#include "listener.h"

#include <errno.h>
#include <lauxlib.h>

#include "net.h"

static const double retry_after = 0.1; /* seconds */

/* ---- opening ------------------------------------------------------------ */

static void on_retry(ahost__timer *timer) {
    ahost__listener *listener =
        ahost__container_of(timer, ahost__listener, retry);
    ahost__listener_start(listener);
}

int ahost__listener_open(ahost__context *ctx, ahost__listener *listener,
                         const ahost__address *address,
                         const ahost__listen_options *options) {
    ahost *h = ctx->host;
    listener->host = h;
    listener->ctx = ctx;
    listener->retry.fire = on_retry;
    listener->serving = (uint8_t)ahost__context_serving(ctx);
    return ahost__lease_take(h, listener, address, options);
}

int ahost__listener_fail(lua_State *L, int err, const ahost__address *address) {
    const char *why = err == AHOST__NOTFOUND
                          ? "the program was started with no such socket "
                            "(LISTEN_FDS)"
                          : "this is no stream socket that listens";
    ahost__push_address(L, address);
    lua_pushfstring(L, "listen on %s", lua_tostring(L, -1));
    if (address->is_passed && (err == AHOST__NOTFOUND || err == UV_EINVAL))
        return ahost__fail_text(L, ahost__code_name(err), lua_tostring(L, -1),
                                "%s", why);
    return ahost__fail(L, err, "%s", lua_tostring(L, -1));
}

/* ---- watching ----------------------------------------------------------- */

void ahost__listener_start(ahost__listener *listener) {
    listener->wanted = 1;
    if (listener->lease != NULL)
        ahost__lease_watch(listener->lease);
}

void ahost__listener_stop(ahost__listener *listener) {
    ahost__timer_stop(listener->host, &listener->retry);
    listener->wanted = 0;
    if (listener->lease != NULL)
        ahost__lease_watch(listener->lease);
}

/* ---- accepting ---------------------------------------------------------- */

void ahost__listener_exhausted(ahost__listener *listener, int err) {
    if (!listener->exhausted)
        ahost__log(listener->host, AHOST_LOG_ERROR, "ahost.net",
                   "cannot accept connections: %s (%s); those that come wait "
                   "in the backlog",
                   ahost__code_message(err), ahost__code_name(err));
    listener->exhausted = 1;
    ahost__listener_stop(listener);
    ahost__timer_start(listener->host, &listener->retry, retry_after);
}

/* Errors of accept() that are about the connection, which has gone. */
static int is_transient(int err) {
    return err == ECONNABORTED || err == EINTR || err == EPROTO ||
           err == EPERM || err == ENETDOWN || err == ENETUNREACH ||
           err == EHOSTUNREACH || err == EHOSTDOWN || err == ENOPROTOOPT;
}

static int accept_socket(const ahost__lease *lease) {
    int fd;
    do
        fd = accept4(lease->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && is_transient(errno));
    return fd >= 0 ? fd : -errno;
}

/* Until the backlog is empty, a descriptor that comes free is no reason to say
 * again what is short. */
ahost__stream *ahost__listener_accept(ahost__listener *listener, int *err) {
    const ahost__lease *lease = listener->lease;
    ahost__stream *s = NULL;
    int fd;
    *err = UV_EAGAIN;
    if (listener->host->retired || lease == NULL || lease->holder != listener)
        return NULL;
    fd = accept_socket(lease);
    *err = fd < 0 ? fd : 0;
    if (fd >= 0)
        s = ahost__uv_stream_open(
            listener->host, lease->is_unix ? UV_NAMED_PIPE : UV_TCP, fd, err);
    if (s != NULL && !lease->is_unix)
        uv_tcp_nodelay(&s->uv.tcp, 1);
    if (s != NULL) {
        s->drains = s->accepted = 1;
        listener->host->accepted++;
        return s;
    }
    if (*err == UV_EAGAIN)
        listener->exhausted = 0;
    else
        ahost__listener_exhausted(listener, *err);
    *err = UV_EAGAIN;
    return NULL;
}

/* ---- retirement --------------------------------------------------------- */

/* Listeners notice at the next connection, which stays in the backlog. */
void ahost__listeners_retire(ahost *h) {
    h->retired = 1;
}

void ahost__check_retired(ahost *h) {
    if (!h->retired || h->accepted > 0 || h->connections > 0)
        return;
    ahost__settle_all(&h->retirees, 0);
    ahost__ready_soon(h);
}

/* ---- the end ------------------------------------------------------------ */

void ahost__listener_close(ahost__listener *listener) {
    ahost__listener_stop(listener);
    if (listener->lease != NULL)
        ahost__lease_leave(listener);
}

void ahost__listener_push_address(lua_State *L,
                                  const ahost__listener *listener) {
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof(name);
    getsockname(listener->lease->fd, (struct sockaddr *)&name, &size);
    ahost__push_sockaddr(L, (struct sockaddr *)&name);
}
