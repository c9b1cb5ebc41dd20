/*
 * supervisor.c - ahost.supervisor.core: worker processes, in the command only.
 *
 * A worker is this program once more, with the same arguments. It inherits the
 * standard descriptors and two sockets: a channel for lines of text, and one by
 * which it asks for listening sockets; AHOST_WORKER tells it which one it is.
 */
#include "supervisor.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

#define SUPERVISOR_TYPE "ahost.supervisor"
#define PROCESS_TYPE "ahost.supervisor.process"

enum { MOST_PROCESSES = 1024, PATH_SIZE = 4096, CHANNEL = 3, SOCKETS, STDIO };

typedef struct supervisor {
    ahost__owned owned;
    ahost__keeper keeper;
    ahost__link processes;
    char program[PATH_SIZE];
} supervisor;

typedef struct process {
    ahost__link link;       /* among those of the supervisor */
    supervisor *supervisor; /* while it runs */
    ahost *host;
    uv_process_t handle;
    uv_poll_t requests; /* for listening sockets */
    ahost__link waiters;
    int fd; /* of the requests */
    int worker, slot;
    int handles; /* not closed yet */
    int64_t status;
    int signal;  /* that it died of, or 0 */
    int outcome; /* 0, or AHOST__CLOSED: the supervisor ended first */
    uint8_t ended, boxed;
} process;

/* ---- all at once -------------------------------------------------------- */

/* For a signal handler: the only way to what it cannot be given. */
static volatile pid_t living[MOST_PROCESSES];

void ahost__supervisor_kill(void) {
    for (int i = 0; i < MOST_PROCESSES; i++)
        if (living[i] != 0)
            kill(living[i], SIGKILL);
}

static int free_slot(void) {
    for (int i = 0; i < MOST_PROCESSES; i++)
        if (living[i] == 0)
            return i;
    return -1;
}

/* ---- the end of a process ----------------------------------------------- */

static void free_when_unused(process *p) {
    if (p->handles == 0 && !p->boxed)
        ahost__free(p->host, p, sizeof(*p));
}

static void on_closed(uv_handle_t *handle) {
    process *p = handle->data;
    p->handles--;
    free_when_unused(p);
}

static void stop_requests(process *p) {
    if (p->fd == -1)
        return;
    uv_close((uv_handle_t *)&p->requests, on_closed);
    close(p->fd);
    p->fd = -1;
}

static void on_exit(uv_process_t *handle, int64_t status, int signal) {
    process *p = ahost__container_of(handle, process, handle);
    ahost *h = p->host;
    living[p->slot] = 0;
    p->ended = 1;
    p->status = status;
    p->signal = signal;
    ahost__list_remove(&p->link);
    stop_requests(p);
    uv_close((uv_handle_t *)&p->handle, on_closed);
    ahost__settle_all(&p->waiters, 0);
    ahost__ready_run(h);
}

/* ---- listening sockets -------------------------------------------------- */

static void send_answer(const process *p, ahost__lender_answer *answer,
                        int socket) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec data = {answer, sizeof(*answer)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (socket >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(socket));
        memcpy(CMSG_DATA(&control.header), &socket, sizeof(socket));
    }
    while (sendmsg(p->fd, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

static void answer_request(process *p, ahost__lender_request *request) {
    ahost__lender_answer answer = {.number = request->number};
    ahost__address *address = &request->address;
    int fd;
    address->host[sizeof(address->host) - 1] = '\0';
    address->path[sizeof(address->path) - 1] = '\0';
    if (request->returns) {
        ahost__keeper_take_back(&p->supervisor->keeper, p->worker, request);
        return;
    }
    fd = ahost__keeper_lend(&p->supervisor->keeper, p->worker, request);
    answer.error = fd < 0 ? fd : 0;
    send_answer(p, &answer, fd);
}

static void on_request(uv_poll_t *poll, int status, int events) {
    process *p = ahost__container_of(poll, process, requests);
    ahost *h = p->host;
    ahost__lender_request request;
    ssize_t size = recv(p->fd, &request, sizeof(request), MSG_DONTWAIT);
    (void)status;
    (void)events;
    if (size == sizeof(request))
        answer_request(p, &request);
    else if (size >= 0 || (errno != EAGAIN && errno != EINTR))
        uv_poll_stop(poll); /* it has ended, or is no worker of ours */
    ahost__ready_run(h);
}

/* ---- starting ----------------------------------------------------------- */

/* Starts the program with the sockets: 0 or a code. */
static int spawn(process *p, const char *program, char **arguments, int channel,
                 int sockets) {
    uv_stdio_container_t stdio[STDIO];
    uv_process_options_t options = {.exit_cb = on_exit,
                                    .file = program,
                                    .args = arguments,
                                    .stdio = stdio,
                                    .stdio_count = STDIO};
    int err;
    for (int i = 0; i < STDIO; i++) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = i == CHANNEL ? channel : i == SOCKETS ? sockets : i;
    }
    p->handles++;
    err = uv_spawn(p->host->loop, &p->handle, &options);
    p->handle.data = p;
    return err;
}

/* A program that has been replaced by a newer one is started by its path, one
 * that is gone as what runs here. */
static int start_program(process *p, const char *text, int channel,
                         int sockets) {
    static char itself[] = "/proc/self/exe";
    char *program = p->supervisor->program;
    ahost *h = p->host;
    size_t size = ((size_t)h->argc + 2) * sizeof(char *);
    char **words = ahost__alloc(h, size);
    int err;
    if (words == NULL)
        return UV_ENOMEM;
    words[0] = program;
    for (int i = 0; i < h->argc; i++)
        words[i + 1] = h->argv[i];
    if (access(program, X_OK) != 0)
        program = itself;
    uv_os_setenv("AHOST_WORKER", text);
    err = spawn(p, program, words, channel, sockets);
    uv_os_unsetenv("AHOST_WORKER");
    ahost__free(h, words, size);
    return err;
}

/* Two connected sockets: ours, which the process does not get, and its own. */
static int open_pair(int type, int pair[2]) {
    return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0 ? 0 : -errno;
}

static void close_pair(const int pair[2]) {
    for (int i = 0; i < 2; i++)
        if (pair[i] != -1)
            close(pair[i]);
}

/* Watches the requests for sockets that come by a descriptor, which becomes the
 * process's. */
static int watch_requests(process *p, int fd) {
    int err = uv_poll_init(p->host->loop, &p->requests, fd);
    if (err != 0)
        return err;
    p->fd = fd;
    p->handles++;
    p->requests.data = p;
    return uv_poll_start(&p->requests, UV_READABLE, on_request);
}

/* Starts the process: 0 or a code. *stream is our end of its channel. What has
 * begun when it fails is undone by on_closed. */
static int start_process(process *p, const char *text, ahost__stream **stream) {
    int channel[2] = {-1, -1}, sockets[2] = {-1, -1};
    int err = open_pair(SOCK_STREAM, channel);
    if (err == 0)
        err = open_pair(SOCK_SEQPACKET, sockets);
    if (err == 0)
        err = watch_requests(p, sockets[0]);
    if (p->fd != -1)
        sockets[0] = -1;
    if (err == 0) {
        *stream =
            ahost__uv_stream_open(p->host, UV_NAMED_PIPE, channel[0], &err);
        channel[0] = -1;
    }
    if (err == 0)
        err = start_program(p, text, channel[1], sockets[1]);
    close_pair(channel);
    close_pair(sockets);
    return err;
}

/* Undoes what was begun of a process that could not be started. */
static void give_up(process *p, ahost__stream *stream) {
    int spawned = p->handle.type == UV_PROCESS;
    p->ended = 1;
    p->handles++; /* it stays until this function ends */
    if (stream != NULL)
        ahost__stream_close(stream, 0);
    stop_requests(p);
    if (spawned)
        uv_close((uv_handle_t *)&p->handle, on_closed);
    p->handles--;
    free_when_unused(p);
}

static supervisor *check_supervisor(lua_State *L) {
    return luaL_checkudata(L, 1, SUPERVISOR_TYPE);
}

/* supervisor:start(worker, text) -> process, stream | nil, err: the text is for
 * AHOST_WORKER */
static int supervisor_start(lua_State *L) {
    supervisor *s = check_supervisor(L);
    ahost *h = ahost__of(L);
    ahost__context *ctx = ahost__context_current(L);
    int worker = (int)luaL_checkinteger(L, 2), err;
    const char *text = luaL_checkstring(L, 3);
    process **box = lua_newuserdatauv(L, sizeof(*box), 0), *p;
    ahost__stream **stream_box, *stream = NULL;
    *box = NULL;
    luaL_setmetatable(L, PROCESS_TYPE);
    stream_box = ahost__stream_push_box(L);
    ahost__context_check_open(L, ctx, "start");
    luaL_argcheck(L, s->owned.ctx != NULL, 1, "the supervisor is closed");
    luaL_argcheck(L, free_slot() != -1, 2, "too many processes");
    p = ahost__alloc(h, sizeof(*p));
    if (p == NULL)
        return luaL_error(L, "not enough memory");
    *p = (process){.host = h, .supervisor = s, .fd = -1, .worker = worker};
    p->slot = free_slot();
    ahost__list_init(&p->waiters);
    err = start_process(p, text, &stream);
    if (err != 0) {
        give_up(p, stream);
        return ahost__fail(L, err, "start worker %d", worker);
    }
    living[p->slot] = p->handle.pid;
    ahost__list_append(&s->processes, &p->link);
    p->boxed = 1;
    *box = p;
    ahost__stream_set_box(stream_box, stream);
    ahost__stream_own(stream, ctx);
    return 2;
}

/* ---- supervisors -------------------------------------------------------- */

static void close_supervisor(ahost__owned *owned) {
    supervisor *s = ahost__container_of(owned, supervisor, owned);
    ahost__link *link;
    while ((link = ahost__list_shift(&s->processes)) != NULL) {
        process *p = ahost__container_of(link, process, link);
        stop_requests(p);
        uv_close((uv_handle_t *)&p->handle, on_closed);
        p->ended = 1;
        p->outcome = AHOST__CLOSED;
        ahost__settle_all(&p->waiters, AHOST__CLOSED);
    }
    ahost__keeper_close(&s->keeper);
}

static const ahost__owned_type owned_supervisor = {"supervisor", 1,
                                                   close_supervisor, 0};

/* core.new() -> supervisor, which ends with the current context; processes that
 * live on then notice that their channels have ended */
static int supervisor_new(lua_State *L) {
    ahost__context *ctx = ahost__context_current(L);
    supervisor *s = lua_newuserdatauv(L, sizeof(*s), 0);
    size_t size = sizeof(s->program);
    memset(s, 0, sizeof(*s));
    ahost__list_init(&s->processes);
    ahost__keeper_open(ahost__of(L), &s->keeper);
    luaL_setmetatable(L, SUPERVISOR_TYPE);
    ahost__context_check_open(L, ctx, "new");
    uv_exepath(s->program, &size);
    ahost__own(ctx, &s->owned, &owned_supervisor);
    return 1;
}

static int supervisor_close(lua_State *L) {
    supervisor *s = check_supervisor(L);
    if (s->owned.ctx == NULL)
        return 0;
    ahost__disown(&s->owned);
    close_supervisor(&s->owned);
    return 0;
}

/* ---- processes ---------------------------------------------------------- */

static process *check_process(lua_State *L) {
    process **box = luaL_checkudata(L, 1, PROCESS_TYPE);
    luaL_argcheck(L, *box != NULL, 1, "this process was never started");
    return *box;
}

/* -> {status=, signal=} | nil, err */
static int finish_wait(lua_State *L, ahost__wait *w) {
    const process *p = w->op;
    if (w->status != 0)
        return ahost__fail(L, w->status, "the end of a worker");
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, p->status);
    lua_setfield(L, -2, "status");
    if (p->signal != 0) {
        lua_pushinteger(L, p->signal);
        lua_setfield(L, -2, "signal");
    }
    return 1;
}

static const ahost__wait_type end_wait = {"the end of a worker", finish_wait,
                                          NULL, 0};

/* process:wait([timeout]) -> {status=, signal=} | nil, err */
static int process_wait(lua_State *L) {
    process *p = check_process(L);
    double timeout = ahost__opt_timeout(L, 2);
    ahost__wait *w = ahost__wait_begin(L, &end_wait, p);
    if (p->ended)
        ahost__settle(w, p->outcome);
    else
        ahost__list_append(&p->waiters, &w->link);
    ahost__wait_timeout(w, timeout);
    return ahost__await(L, w);
}

/* process:kill(name) -> boolean: whether there still was a process */
static int process_kill(lua_State *L) {
    static const char *const names[] = {"TERM", "KILL", "HUP", NULL};
    static const int numbers[] = {SIGTERM, SIGKILL, SIGHUP};
    process *p = check_process(L);
    int number = numbers[luaL_checkoption(L, 2, NULL, names)];
    lua_pushboolean(L, !p->ended && uv_process_kill(&p->handle, number) == 0);
    return 1;
}

/* process:pid() -> integer */
static int process_pid(lua_State *L) {
    lua_pushinteger(L, check_process(L)->handle.pid);
    return 1;
}

static int process_gc(lua_State *L) {
    process **box = lua_touserdata(L, 1), *p = *box;
    if (p == NULL)
        return 0;
    *box = NULL;
    p->boxed = 0;
    free_when_unused(p);
    return 0;
}

/* ---- ahost.supervisor.core ---------------------------------------------- */

static const luaL_Reg supervisor_methods[] = {
    {"start", supervisor_start}, {"close", supervisor_close}, {NULL, NULL}};

static const luaL_Reg process_methods[] = {{"wait", process_wait},
                                           {"kill", process_kill},
                                           {"pid", process_pid},
                                           {NULL, NULL}};

static void open_type(lua_State *L, const char *name, const luaL_Reg *methods,
                      lua_CFunction gc) {
    if (luaL_newmetatable(L, name)) {
        lua_newtable(L);
        luaL_setfuncs(L, methods, 0);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
}

static const luaL_Reg functions[] = {{"new", supervisor_new}, {NULL, NULL}};

int ahost__open_supervisor(lua_State *L) {
    open_type(L, SUPERVISOR_TYPE, supervisor_methods, supervisor_close);
    open_type(L, PROCESS_TYPE, process_methods, process_gc);
    luaL_newlib(L, functions);
    return 1;
}
