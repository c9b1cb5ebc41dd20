/*
 * listener.c - listening sockets of our own, watched by the loop.
 */
#include "listener.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lease.h"
#include "net.h"

static const double retry_after = 0.1; /* seconds */
enum { DEFAULT_BACKLOG = 1024 };

/* ---- opening ------------------------------------------------------------ */

/* A hash of the path of the component that the current context belongs to. */
static uint64_t owner_of(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    uint64_t hash;
    while (ctx != NULL && ctx->kind == AHOST__CONTEXT_PLAIN)
        ctx = ctx->parent;
    if (ctx == NULL)
        return 0;
    ahost__context_push_field(L, ctx, AHOST__SIDE_PATH);
    hash = ahost__lease_hash(luaL_optstring(L, -1, ""));
    lua_pop(L, 1);
    return hash;
}

void ahost__listen_options_read(lua_State *L, int arg,
                                ahost__listen_options *options) {
    ahost__push_option(L, arg, "reuseport");
    options->reuseport = lua_toboolean(L, -1);
    lua_pop(L, 1);
    options->backlog =
        (int)ahost__opt_number(L, arg, "backlog", DEFAULT_BACKLOG);
    options->mode = (int)ahost__opt_number(L, arg, "mode", -1);
    if (options->backlog < 1)
        luaL_error(L, "option 'backlog' must be at least 1");
    options->owner = owner_of(L);
}

/* A socket file that nobody listens on any more is in the way: removes it. */
static void remove_stale(const struct sockaddr *sa, const char *path) {
    struct stat info;
    int fd;
    if (lstat(path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return;
    fd = ahost__new_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return;
    if (connect(fd, sa, ahost__sockaddr_length(sa)) != 0 &&
        errno == ECONNREFUSED)
        unlink(path);
    close(fd);
}

static int set_options(int fd, const struct sockaddr *sa, int reuseport) {
    int on = 1, off = 0;
    if (sa->sa_family == AF_UNIX)
        return 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -errno;
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (reuseport &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        return -errno;
    return 0;
}

static int is_file(const ahost__address *address) {
    return address->is_unix && address->path[0] != '@';
}

/* Binds the socket. The mode of a Unix socket is that of its file from the
 * first moment on, but for what the umask takes away, which is given back
 * before anybody can connect. */
static int bind_to(int fd, const struct sockaddr *sa,
                   const ahost__address *address, int mode) {
    int has_mode = mode >= 0 && is_file(address);
    if (has_mode)
        fchmod(fd, (mode_t)mode); /* as Linux has it; elsewhere no harm */
    if (bind(fd, sa, ahost__sockaddr_length(sa)) != 0 ||
        (has_mode && chmod(address->path, (mode_t)mode) != 0))
        return -errno;
    return 0;
}

int ahost__listening_socket(const ahost__address *address,
                            const ahost__listen_options *options) {
    struct sockaddr_storage storage;
    const struct sockaddr *sa = (const struct sockaddr *)&storage;
    int err = ahost__address_numeric(address, &storage), fd;
    if (err != 0)
        return err;
    fd = ahost__new_socket(sa->sa_family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    if (is_file(address))
        remove_stale(sa, address->path);
    err = set_options(fd, sa, options->reuseport);
    if (err == 0)
        err = bind_to(fd, sa, address, options->mode);
    if (err == 0 && listen(fd, options->backlog) != 0)
        err = -errno;
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

static void on_retry(ahost__timer *timer) {
    ahost__listener *listener =
        ahost__container_of(timer, ahost__listener, retry);
    ahost__listener_start(listener);
}

static int is_unix_socket(int fd) {
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof(name);
    getsockname(fd, (struct sockaddr *)&name, &size);
    return name.ss_family == AF_UNIX;
}

/* Fills the listener with a socket of the supervisor's; 0 or a code. */
static int borrow_socket(ahost *h, ahost__listener *listener,
                         const ahost__address *address,
                         const ahost__listen_options *options) {
    listener->fd = ahost__lease_take(h, listener, address, options);
    if (listener->fd < 0)
        return listener->fd;
    listener->is_unix = (uint8_t)is_unix_socket(listener->fd);
    return 0;
}

/* Fills the zeroed listener with a descriptor; 0 or a code. */
static int open_socket(ahost *h, ahost__listener *listener,
                       const ahost__address *address,
                       const ahost__listen_options *options) {
    int is_unix = address->is_unix, err = 0;
    if (h->lender != NULL)
        return borrow_socket(h, listener, address, options);
    if (address->is_passed)
        err = ahost__passed_socket_use(h, address->host, &listener->passed,
                                       &is_unix);
    listener->is_unix = (uint8_t)is_unix;
    if (err != 0)
        return err;
    listener->fd = address->is_passed
                       ? listener->passed->fd
                       : ahost__listening_socket(address, options);
    return listener->fd < 0 ? listener->fd : 0;
}

/* A passed socket stays open: whoever listens next may have it. */
static void close_socket(ahost__listener *listener) {
    if (listener->passed != NULL)
        ahost__passed_socket_release(listener->passed);
    else
        close(listener->fd);
    ahost__lease_drop(listener);
    listener->passed = NULL;
    listener->fd = -1;
}

int ahost__listener_open(ahost *h, ahost__listener *listener,
                         const ahost__address *address,
                         const ahost__listen_options *options) {
    int err = open_socket(h, listener, address, options);
    if (err != 0)
        return err;
    err = uv_poll_init(h->loop, &listener->poll, listener->fd);
    if (err != 0) {
        close_socket(listener);
        return err;
    }
    listener->host = h;
    listener->retry.fire = on_retry;
    if (is_file(address) && h->lender == NULL)
        strcpy(listener->path, address->path);
    return 0;
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

static void on_readable(uv_poll_t *poll, int status, int events) {
    ahost__listener *listener =
        ahost__container_of(poll, ahost__listener, poll);
    ahost *h = listener->host;
    (void)status; /* accept() will tell */
    (void)events;
    if (h->retired)
        ahost__listener_stop(listener);
    else
        listener->ready(listener);
    ahost__ready_run(h);
}

void ahost__listener_start(ahost__listener *listener) {
    if (listener->watching || listener->fd < 0 || listener->host->retired)
        return;
    listener->watching =
        uv_poll_start(&listener->poll, UV_READABLE, on_readable) == 0;
}

void ahost__listener_stop(ahost__listener *listener) {
    ahost__timer_stop(listener->host, &listener->retry);
    if (!listener->watching)
        return;
    listener->watching = 0;
    uv_poll_stop(&listener->poll);
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

static int accept_socket(const ahost__listener *listener) {
    int fd;
    do
        fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && is_transient(errno));
    return fd >= 0 ? fd : -errno;
}

/* Until the backlog is empty, a descriptor that comes free is no reason to say
 * again what is short. */
ahost__stream *ahost__listener_accept(ahost__listener *listener, int *err) {
    int fd = listener->host->retired ? UV_EAGAIN : accept_socket(listener);
    ahost__stream *s = NULL;
    *err = fd < 0 ? fd : 0;
    if (fd >= 0)
        s = ahost__uv_stream_open(listener->host,
                                  listener->is_unix ? UV_NAMED_PIPE : UV_TCP,
                                  fd, err);
    if (s != NULL && !listener->is_unix)
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

static void on_closed(uv_handle_t *handle) {
    ahost__listener *listener =
        ahost__container_of(handle, ahost__listener, poll);
    listener->released(listener);
}

void ahost__listener_close(ahost__listener *listener) {
    if (listener->fd < 0)
        return;
    ahost__listener_stop(listener);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    if (listener->path[0] != '\0')
        unlink(listener->path);
    close_socket(listener);
}

void ahost__listener_push_address(lua_State *L,
                                  const ahost__listener *listener) {
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof(name);
    getsockname(listener->fd, (struct sockaddr *)&name, &size);
    ahost__push_sockaddr(L, (struct sockaddr *)&name);
}
