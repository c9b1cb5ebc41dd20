/*
 * process_signal.c - process signals as signals that scripts listen to.
 *
 * Each number that a script asks for has one signal. While somebody hears it,
 * libuv's handler is installed; without anybody the disposition is as it was.
 * Signals that the program handles itself (the command: INT and TERM) come
 * through ahost_signal() instead, and their handlers are left alone: the script
 * comes first, and when it does not listen they stop the host.
 */
#include <lauxlib.h>
#include <signal.h>

#include "process.h"
#include "signals.h"

typedef struct process_signal {
    ahost__owned owned; /* by the root */
    ahost__link link;   /* among those of the host */
    ahost__job job;     /* emits the event */
    ahost *host;
    ahost__signal *signal; /* kept by the registry */
    uv_signal_t handle;
    struct sigaction before; /* what the handler has replaced */
    int number;
    uint8_t passed;   /* the program handles it and passes it on */
    uint8_t restores; /* `before` is to return */
} process_signal;

/* ---- numbers ------------------------------------------------------------ */

/* Of which a handler never hears, or after which it cannot go on. */
static int is_refused(int number) {
    static const int refused[] = {SIGKILL, SIGSTOP, SIGSEGV,
                                  SIGBUS,  SIGFPE,  SIGILL};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (refused[i] == number)
            return 1;
    return 0;
}

/* The number of the name at `arg`, which can be listened to. */
static int check_name(lua_State *L, int arg) {
    int number = ahost__check_signal_name(L, arg);
    if (is_refused(number))
        luaL_error(L, "nobody can listen to the process signal %s",
                   ahost__signal_name(number));
    return number;
}

static uint64_t bit_of(int number) {
    return number > 0 && number <= 64 ? (uint64_t)1 << (number - 1) : 0;
}

/* ---- handlers ----------------------------------------------------------- */

static void on_arrival(uv_signal_t *handle, int number) {
    process_signal *p = handle->data;
    (void)number;
    ahost__job_post(p->host, &p->job);
    ahost__ready_run(p->host);
}

static int same_disposition(const struct sigaction *a,
                            const struct sigaction *b) {
    return a->sa_handler == b->sa_handler && a->sa_sigaction == b->sa_sigaction;
}

/* Installs libuv's handler. When it was there before, for another loop of this
 * process, the disposition is not ours to restore. */
static void start(process_signal *p) {
    struct sigaction after;
    int err;
    sigaction(p->number, NULL, &p->before);
    err = uv_signal_start(&p->handle, on_arrival, p->number);
    if (err != 0)
        ahost__log(p->host, AHOST_LOG_ERROR, "ahost.process",
                   "cannot listen to %s: %s", ahost__signal_name(p->number),
                   ahost__code_message(err));
    sigaction(p->number, NULL, &after);
    p->restores = !same_disposition(&p->before, &after);
}

/* libuv leaves the default disposition behind, which is to die of what was
 * ignored before (a script started by nohup). */
static void stop(process_signal *p) {
    struct sigaction now;
    uv_signal_stop(&p->handle);
    sigaction(p->number, NULL, &now);
    if (p->restores && now.sa_handler == SIG_DFL)
        sigaction(p->number, &p->before, NULL);
}

/* The loop must not be taken for stuck while a task waits for a signal that
 * the program passes on. */
static void heed_passed(process_signal *p, int heard) {
    ahost *h = p->host;
    if (heard) {
        __atomic_or_fetch(&h->heeded_signals, bit_of(p->number),
                          __ATOMIC_SEQ_CST);
        uv_ref((uv_handle_t *)&h->stop_request);
        return;
    }
    if (__atomic_and_fetch(&h->heeded_signals, ~bit_of(p->number),
                           __ATOMIC_SEQ_CST) == 0)
        uv_unref((uv_handle_t *)&h->stop_request);
}

static void on_heard_changed(void *data, int heard) {
    process_signal *p = data;
    if (p->passed)
        heed_passed(p, heard);
    else if (heard)
        start(p);
    else
        stop(p);
}

/* ---- arrivals ----------------------------------------------------------- */

static const char signals_key; /* registry: number -> signal */

static void push_signals(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &signals_key) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &signals_key);
}

static void emit(lua_State *L, ahost__job *job) {
    process_signal *p = ahost__container_of(job, process_signal, job);
    if (!ahost__signal_heard(p->signal)) {
        if (p->passed) /* it was heard when it arrived, but is no more */
            ahost__finish(p->host);
        return;
    }
    push_signals(L);
    lua_rawgeti(L, -1, p->number);
    lua_createtable(L, 0, 5);
    lua_pushstring(L, ahost__signal_name(p->number));
    lua_setfield(L, -2, "signal");
    lua_pushinteger(L, p->number);
    lua_setfield(L, -2, "number");
    ahost__signal_emit(L, -2);
}

static process_signal *find(ahost *h, int number) {
    ahost__link *link;
    for (link = h->process_signals.next; link != &h->process_signals;
         link = link->next) {
        process_signal *p = ahost__container_of(link, process_signal, link);
        if (p->number == number)
            return p;
    }
    return NULL;
}

/* True when it is to stop the host. A script that listens decides; once the
 * host stops, who asks again wants to know what it waits for. */
static int take_passed(ahost *h, int number) {
    process_signal *p = find(h, number);
    int heard = p != NULL && p->passed && ahost__signal_heard(p->signal);
    if (heard)
        ahost__job_post(h, &p->job);
    return !heard || h->finishing;
}

int ahost__take_passed_signals(ahost *h) {
    uint64_t arrived =
        __atomic_exchange_n(&h->arrived_signals, 0, __ATOMIC_SEQ_CST);
    int stops = 0;
    for (int number = 1; arrived != 0; number++, arrived >>= 1)
        if (arrived & 1)
            stops |= take_passed(h, number);
    return stops;
}

int ahost_signal(ahost *h, int number) {
    uint64_t bit = bit_of(number);
    if (h == NULL || bit == 0)
        return 0;
    __atomic_or_fetch(&h->arrived_signals, bit, __ATOMIC_SEQ_CST);
    uv_async_send(&h->stop_request);
    return (__atomic_load_n(&h->heeded_signals, __ATOMIC_SEQ_CST) & bit) != 0;
}

/* ---- process.signal ----------------------------------------------------- */

static void on_closed(uv_handle_t *handle) {
    process_signal *p = handle->data;
    ahost__free(p->host, p, sizeof(*p));
}

/* The host ends: nobody hears of it any more. */
static void close_owned(ahost__owned *owned) {
    process_signal *p = ahost__container_of(owned, process_signal, owned);
    if (ahost__signal_heard(p->signal))
        on_heard_changed(p, 0);
    p->signal->heard_changed = NULL;
    ahost__list_remove(&p->link);
    ahost__job_drop(&p->job);
    uv_close((uv_handle_t *)&p->handle, on_closed);
}

static const ahost__owned_type owned_signal = {"process signal", 0,
                                               close_owned};

/* Makes the signal on the top stand for the number: 0 or a code. */
static int set_up(ahost *h, ahost__signal *signal, int number) {
    process_signal *p = ahost__alloc(h, sizeof(*p));
    int err;
    if (p == NULL)
        return UV_ENOMEM;
    p->host = h;
    p->signal = signal;
    p->number = number;
    p->job.run = emit;
    p->passed = (h->passed_signals & bit_of(number)) != 0;
    err = uv_signal_init(h->loop, &p->handle);
    if (err != 0) {
        ahost__free(h, p, sizeof(*p));
        return err;
    }
    p->handle.data = p;
    ahost__list_append(&h->process_signals, &p->link);
    ahost__own(h->root, &p->owned, &owned_signal);
    signal->heard_data = p;
    signal->heard_changed = on_heard_changed;
    return 0;
}

int ahost__process_signal(lua_State *L) {
    ahost *h = ahost__of(L);
    int number = check_name(L, 1), err;
    ahost__signal *signal;
    push_signals(L);
    if (lua_rawgeti(L, -1, number) != LUA_TNIL)
        return 1;
    ahost__context_check_open(L, h->root, "process.signal");
    lua_pushstring(L, ahost__signal_name(number));
    lua_pushnil(L);
    signal = ahost__push_signal(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, 2, number);
    err = set_up(h, signal, number);
    if (err == 0)
        return 1;
    lua_pushnil(L);
    lua_rawseti(L, 2, number);
    return ahost__fail(L, err, "signal %s", ahost__signal_name(number));
}
