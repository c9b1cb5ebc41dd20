/*
 * lease.c - the listening sockets of a host, and who holds them.
 */
#include "lease.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"
#include "lender.h"
#include "listener.h"

/* ---- names -------------------------------------------------------------- */

/* FNV-1a */
uint64_t ahost__lease_hash(const char *text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return hash;
}

int ahost__lease_name(const ahost__address *address,
                      struct sockaddr_storage *out) {
    memset(out, 0, sizeof(*out));
    return address->is_passed ? 0 : ahost__address_numeric(address, out);
}

static int has_any_port(const ahost__address *address) {
    return !address->is_unix && !address->is_passed && address->port == 0;
}

/* Each socket for any port is another one, and there may be several passed ones
 * of a name; the rest there is once. */
static int may_be_several(const ahost__lease *lease) {
    return lease->address.is_passed || has_any_port(&lease->address);
}

/* Fills in what tells the lease from others, but for its ordinal: 0 or a code.
 */
static int set_name(ahost__lease *lease, const ahost__address *address,
                    const ahost__listen_options *options) {
    lease->address = *address;
    lease->owner = address->is_passed      ? ahost__lease_hash(address->host)
                   : has_any_port(address) ? options->owner
                                           : 0;
    lease->backlog = options->backlog;
    lease->mode = options->mode;
    return ahost__lease_name(address, &lease->name);
}

static int have_same_name(const ahost__lease *a, const ahost__lease *b) {
    return a->owner == b->owner &&
           a->address.is_passed == b->address.is_passed &&
           memcmp(&a->name, &b->name, sizeof(a->name)) == 0;
}

static ahost__lease *lease_at(const ahost__link *link) {
    return ahost__container_of(link, ahost__lease, link);
}

/* ---- watching ----------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events) {
    ahost__lease *lease = ahost__container_of(poll, ahost__lease, poll);
    ahost *h = lease->host;
    (void)status; /* accept() will tell */
    (void)events;
    if (h->retired || lease->holder == NULL)
        ahost__lease_watch(lease);
    else
        lease->holder->ready(lease->holder);
    ahost__ready_run(h);
}

void ahost__lease_watch(ahost__lease *lease) {
    const ahost__listener *holder = lease->holder;
    int wanted = holder != NULL && holder->wanted && lease->listening &&
                 !lease->host->retired;
    if (wanted && !lease->watching) {
        lease->watching =
            uv_poll_start(&lease->poll, UV_READABLE, on_readable) == 0;
    } else if (!wanted && lease->watching) {
        lease->watching = 0;
        uv_poll_stop(&lease->poll);
    }
}

/* ---- the end of a socket ------------------------------------------------ */

static void on_closed(uv_handle_t *handle) {
    ahost__lease *lease =
        ahost__container_of((uv_poll_t *)handle, ahost__lease, poll);
    ahost__free(lease->host, lease, sizeof(*lease));
}

/* A passed socket stays open: whoever listens next may have it. */
static void close_descriptor(ahost__lease *lease) {
    if (lease->passed != NULL)
        ahost__passed_socket_release(lease->passed);
    else
        close(lease->fd);
}

static void close_lease(ahost__lease *lease) {
    ahost__list_remove(&lease->link);
    uv_close((uv_handle_t *)&lease->poll, on_closed);
    if (lease->origin == AHOST__LEASE_OWN &&
        ahost__address_is_file(&lease->address))
        unlink(lease->address.path);
    close_descriptor(lease);
}

static int is_unused(const ahost__lease *lease) {
    return lease->holder == NULL && lease->successor == NULL && !lease->kept;
}

/* Whether the program goes on without what ends in the context: neither the
 * host nor the application is about to end. */
static int is_outlived(ahost__context *ctx) {
    const ahost *h = ctx->host;
    if (h->retired || h->finishing || h->stop_count > 0)
        return 0;
    for (ctx = ahost__context_application(ctx); ctx != NULL; ctx = ctx->parent)
        if (ctx->state != AHOST__CONTEXT_OPEN)
            return 0;
    return 1;
}

/* A component that listens for any port anew is to have its port again, so that
 * one is given back only when there is a generation without it. */
static int is_needless(const ahost__lease *lease, ahost__context *ctx) {
    return is_outlived(ctx) &&
           (!has_any_port(&lease->address) || ctx->retired || ctx->staged);
}

/* A supervisor is not to listen where nobody accepts. */
static void close_for_good(ahost__lease *lease) {
    if (lease->origin == AHOST__LEASE_BORROWED)
        ahost__lender_return(lease->host, lease);
    close_lease(lease);
}

void ahost__lease_leave(ahost__listener *listener) {
    ahost__lease *lease = listener->lease;
    listener->lease = NULL;
    if (lease->successor == listener)
        lease->successor = NULL;
    else
        lease->holder = NULL;
    ahost__lease_watch(lease);
    if (!is_unused(lease))
        return;
    if (is_needless(lease, listener->ctx))
        close_for_good(lease);
    else
        close_lease(lease);
}

/* ---- finding ------------------------------------------------------------ */

/* Whether the listener may have the socket too: as its successor when it is
 * staged, else as its holder. What a connection listens on is its own. */
static int can_join(const ahost__lease *lease,
                    const ahost__listener *listener) {
    const ahost__listener *holder = lease->holder;
    if (listener->ctx->staged)
        return lease->successor == NULL &&
               (holder == NULL ||
                (!holder->serving && ahost__context_is_replaced(holder->ctx)));
    return holder == NULL && (lease->successor == NULL ||
                              ahost__context_is_replaced(listener->ctx));
}

/* The first of the name that the listener may join, or NULL: the n-th that a
 * component asks for is the n-th that its last generation has. */
static ahost__lease *find_to_join(const ahost *h, const ahost__lease *like,
                                  const ahost__listener *listener) {
    ahost__lease *found = NULL;
    const ahost__link *link;
    for (link = h->leases.next; link != &h->leases; link = link->next) {
        ahost__lease *lease = lease_at(link);
        if (have_same_name(lease, like) && can_join(lease, listener) &&
            (found == NULL || lease->ordinal < found->ordinal))
            found = lease;
    }
    return found;
}

static int is_in_use(const ahost *h, const ahost__lease *like) {
    const ahost__link *link;
    for (link = h->leases.next; link != &h->leases; link = link->next)
        if (lease_at(link)->ordinal == like->ordinal &&
            have_same_name(lease_at(link), like))
            return 1;
    return 0;
}

/* 0 or a code. Two sockets that share a port are for the kernel to judge. */
static int find_ordinal(const ahost *h, ahost__lease *lease, int reuseport) {
    if (reuseport && h->lender == NULL && !lease->address.is_unix)
        return 0;
    while (is_in_use(h, lease)) {
        if (!may_be_several(lease))
            return UV_EADDRINUSE;
        lease->ordinal++;
    }
    return 0;
}

/* ---- opening ------------------------------------------------------------ */

static int is_unix_socket(int fd) {
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof(name);
    getsockname(fd, (struct sockaddr *)&name, &size);
    return name.ss_family == AF_UNIX;
}

static int use_passed(ahost__lease *lease) {
    int is_unix = 0;
    int err = ahost__passed_socket_use(lease->host, lease->address.host,
                                       &lease->passed, &is_unix);
    lease->origin = AHOST__LEASE_PASSED;
    return err != 0 ? err : lease->passed->fd;
}

/* A descriptor for the lease, or a negative code. */
static int open_descriptor(ahost__lease *lease, int staged,
                           const ahost__listen_options *options) {
    lease->listening = 1;
    if (lease->host->lender != NULL) {
        lease->origin = AHOST__LEASE_BORROWED;
        return ahost__lender_borrow(lease->host, lease, &lease->address);
    }
    if (lease->address.is_passed)
        return use_passed(lease);
    if (!staged)
        return ahost__listening_socket(&lease->address, options);
    lease->listening = 0;
    return ahost__bound_socket(&lease->address, options);
}

/* Makes the named lease that of a socket: 0 or a code. */
static int open_socket(ahost__lease *lease, int staged,
                       const ahost__listen_options *options) {
    int err;
    lease->fd = open_descriptor(lease, staged, options);
    if (lease->fd < 0)
        return lease->fd;
    lease->is_unix = (uint8_t)is_unix_socket(lease->fd);
    err = uv_poll_init(lease->host->loop, &lease->poll, lease->fd);
    if (err != 0)
        close_descriptor(lease);
    return err;
}

static int find_or_open(ahost__lease *new, const ahost__listener *listener,
                        const ahost__listen_options *options,
                        ahost__lease **found) {
    int err;
    *found = find_to_join(new->host, new, listener);
    if (*found != NULL)
        return 0;
    err = find_ordinal(new->host, new, options->reuseport);
    if (err == 0)
        err = open_socket(new, listener->ctx->staged, options);
    if (err == 0)
        ahost__list_append(&new->host->leases, &new->link);
    *found = err == 0 ? new : NULL;
    return err;
}

/* ---- holding ------------------------------------------------------------ */

/* Sets what the new holder has asked for another way than the last one. What
 * does not work any more is no reason to let the socket go. */
static void apply_options(ahost__lease *lease, const ahost__listener *holder) {
    int is_set = lease->listening && lease->backlog == holder->backlog;
    int err = 0;
    if (lease->passed != NULL)
        return;
    if (!is_set && listen(lease->fd, holder->backlog) != 0)
        err = -errno;
    else
        lease->listening = 1;
    if (holder->mode >= 0 && holder->mode != lease->mode &&
        ahost__address_is_file(&lease->address) &&
        chmod(lease->address.path, (mode_t)holder->mode) != 0)
        err = -errno;
    lease->backlog = holder->backlog;
    lease->mode = holder->mode;
    if (err != 0)
        ahost__log(lease->host, AHOST_LOG_ERROR, "ahost.net",
                   "the options of a listening socket cannot be set: %s (%s)",
                   ahost__code_message(err), ahost__code_name(err));
}

static void hold(ahost__lease *lease, ahost__listener *listener) {
    listener->lease = lease;
    if (listener->ctx->staged) {
        lease->successor = listener;
        return;
    }
    lease->holder = listener;
    apply_options(lease, listener);
}

int ahost__lease_take(ahost *h, ahost__listener *listener,
                      const ahost__address *address,
                      const ahost__listen_options *options) {
    ahost__lease *new = ahost__alloc(h, sizeof(*new)), *lease = NULL;
    int err;
    if (new == NULL)
        return UV_ENOMEM;
    new->host = h;
    listener->backlog = options->backlog;
    listener->mode = options->mode;
    err = set_name(new, address, options);
    if (err == 0)
        err = find_or_open(new, listener, options, &lease);
    if (lease != new)
        ahost__free(h, new, sizeof(*new));
    if (err == 0)
        hold(lease, listener);
    return err;
}

void ahost__lease_pass_on(ahost__listener *listener) {
    ahost__lease *lease = listener->lease;
    if (lease == NULL || lease->successor != listener)
        return;
    if (lease->holder != NULL)
        lease->holder->lease = NULL;
    lease->holder = listener;
    lease->successor = NULL;
    apply_options(lease, listener);
    ahost__lease_watch(lease);
}

/* ---- all sockets of the host -------------------------------------------- */

int ahost__leases_prepare(lua_State *L) {
    ahost *h = ahost__of(L);
    ahost__link *link;
    for (link = h->leases.next; link != &h->leases; link = link->next) {
        ahost__lease *lease = lease_at(link);
        int err = lease->listening ? 0 : listen(lease->fd, lease->backlog);
        if (err != 0) {
            err = -errno;
            ahost__listener_fail(L, err, &lease->address);
            return err;
        }
        lease->listening = 1;
    }
    return 0;
}

static int is_below(const ahost__context *ctx, const ahost__context *top) {
    while (ctx != NULL && ctx != top)
        ctx = ctx->parent;
    return ctx != NULL;
}

void ahost__leases_keep(ahost__context *ctx) {
    ahost__link *link;
    for (link = ctx->host->leases.next; link != &ctx->host->leases;
         link = link->next) {
        const ahost__listener *holder = lease_at(link)->holder;
        if (holder != NULL && !holder->serving && is_below(holder->ctx, ctx))
            lease_at(link)->kept = 1;
    }
}

void ahost__leases_release(ahost *h) {
    ahost__link *link = h->leases.next;
    while (link != &h->leases) {
        ahost__lease *lease = lease_at(link);
        link = link->next;
        if (!lease->kept)
            continue;
        lease->kept = 0;
        if (is_unused(lease))
            close_for_good(lease);
    }
}

void ahost__leases_close(ahost *h) {
    while (!ahost__list_empty(&h->leases)) {
        ahost__lease *lease = lease_at(h->leases.next);
        if (lease->holder != NULL)
            lease->holder->lease = NULL;
        if (lease->successor != NULL)
            lease->successor->lease = NULL;
        close_lease(lease);
    }
}
