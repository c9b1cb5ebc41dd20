/*
 * stdio.c - process.stdin, stdout and stderr as streams.
 *
 * The descriptors 0, 1 and 2 are shared with other processes, and so are their
 * flags: a terminal or pipe made non-blocking here would be so for the shell
 * and for the other commands of a pipeline. So terminals and pipes are opened
 * once more, which gives flags of our own. Sockets and named pipes cannot be:
 * they are made non-blocking, and get their flags back when the host is closed.
 * The rest blocks where it does no harm, in libuv's threads.
 *
 * The descriptors themselves stay open for the C library; a stream works on a
 * duplicate. When a script closes the stream, /dev/null takes the place of the
 * descriptor, so that the other end of a pipe notices.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "file_stream.h"
#include "process.h"

enum { PIPEFS = 0x50495045 }; /* f_type of pipes without a name */

typedef struct standard {
    ahost__file_stream file; /* its stream alone when a poll can watch it */
    const ahost__transport *base;
    ahost__transport transport; /* the base with another way to close */
    int number;
} standard;

static const char *const names[] = {"stdin", "stdout", "stderr"};
static const char keys[3]; /* registry: the streams */

/* ---- closing ------------------------------------------------------------ */

/* Gives the flags of the descriptor back. */
static void restore_flags(ahost *h, int number) {
    if (h->standard_flags[number] != -1)
        fcntl(number, F_SETFL, h->standard_flags[number]);
    h->standard_flags[number] = -1;
}

void ahost__standard_restore(ahost *h) {
    for (int number = 0; number < 3; number++)
        restore_flags(h, number);
}

/* Lets go of the descriptor itself. */
static void detach(ahost *h, int number) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    restore_flags(h, number);
    if (number == STDOUT_FILENO)
        fflush(stdout);
    if (null == -1)
        return;
    dup2(null, number);
    close(null);
}

/* At the end of the host the descriptors are left as they are: the program that
 * embeds it goes on. */
static void close_standard(ahost__stream *s, int reset) {
    standard *std = ahost__container_of(s, standard, file.stream);
    if (!s->host->finishing)
        detach(s->host, std->number);
    std->base->close(s, reset);
}

static int is_socket(int fd) {
    int type;
    socklen_t size = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

/* Only a socket has an end for each direction. */
static int shutdown_standard(ahost__stream *s) {
    standard *std = ahost__container_of(s, standard, file.stream);
    if (is_socket(std->number))
        return std->base->shutdown(s);
    ahost__stream_close(s, 0);
    return 0;
}

/* ---- opening ------------------------------------------------------------ */

/* The path of the other side of a pseudo terminal opens a new one. */
static int is_pty_master(int fd) {
    unsigned number;
    return ioctl(fd, TIOCGPTN, &number) == 0;
}

/* A named pipe whose writers are gone would not tell a new reader of its end.
 */
static int can_reopen(int fd) {
    struct statfs info;
    if (isatty(fd))
        return !is_pty_master(fd);
    return fstatfs(fd, &info) == 0 && info.f_type == PIPEFS;
}

/* A descriptor with flags of its own, or -1: /proc is not there, or what is
 * opened belongs to another user. */
static int reopen(int fd) {
    int flags = fcntl(fd, F_GETFL);
    char path[32];
    if (flags == -1 || !can_reopen(fd))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A descriptor that shares its flags, which are to be restored, or a code. */
static int share(ahost *h, int number) {
    int flags = fcntl(number, F_GETFL);
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
    if (flags == -1 || fd == -1)
        return -errno;
    if (!(flags & O_NONBLOCK))
        h->standard_flags[number] = flags;
    return fd;
}

/* What a poll can watch: 0 or a code. */
static int open_polled(standard *std) {
    ahost__stream *s = &std->file.stream;
    int fd = reopen(std->number), err;
    if (fd == -1)
        fd = share(s->host, std->number);
    if (fd < 0)
        return fd;
    err = uv_pipe_init(s->host->loop, &s->uv.pipe, 0);
    if (err == 0)
        err = uv_pipe_open(&s->uv.pipe, fd);
    if (err != 0)
        close(fd);
    return err;
}

static int open_file(standard *std) {
    int fd = fcntl(std->number, F_DUPFD_CLOEXEC, 3);
    std->file.fd = fd;
    return fd == -1 ? -errno : 0;
}

static const ahost__transport *base_for(int number, const char **what) {
    switch (uv_guess_handle(number)) {
    case UV_TTY:
        *what = "terminal";
        return &ahost__uv_transport;
    case UV_NAMED_PIPE:
    case UV_TCP:
        *what = is_socket(number) ? "socket" : "pipe";
        return &ahost__uv_transport;
    default:
        *what = "file";
        return &ahost__file_transport;
    }
}

/* The stream, or NULL with *err set. Nothing goes before what print() has left
 * in the C library's buffer. */
static ahost__stream *open_standard(ahost *h, int number, int *err) {
    const char *what;
    const ahost__transport *base = base_for(number, &what);
    ahost__stream *s = ahost__stream_new(h, base, sizeof(standard));
    standard *std = ahost__container_of(s, standard, file.stream);
    *err = UV_ENOMEM;
    if (s == NULL)
        return NULL;
    std->number = number;
    std->base = base;
    std->transport = *base;
    std->transport.what = what;
    std->transport.close = close_standard;
    std->transport.shutdown = shutdown_standard;
    s->transport = &std->transport;
    s->close_linger = INFINITY;
    *err = base == &ahost__file_transport ? open_file(std) : open_polled(std);
    if (*err == 0)
        return s;
    s->releasing = 1;
    if (s->uv.handle.type == UV_NAMED_PIPE)
        base->close(s, 0);
    else
        ahost__stream_released(s);
    return NULL;
}

int ahost__standard_number(const ahost__stream *s) {
    if (s->transport->close != close_standard)
        return -1;
    return ahost__container_of(s, const standard, file.stream)->number;
}

int ahost__push_standard(lua_State *L, int number) {
    ahost *h = ahost__of(L);
    ahost__stream **box, *s;
    int err;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &keys[number]) != LUA_TNIL)
        return 1;
    ahost__context_check_open(L, h->root, names[number]);
    box = ahost__stream_push_box(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &keys[number]);
    if (number == STDOUT_FILENO)
        fflush(stdout);
    s = open_standard(h, number, &err);
    if (s == NULL) {
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &keys[number]);
        return ahost__raise(L, err, "process.%s: %s", names[number],
                            ahost__code_message(err));
    }
    ahost__stream_set_box(box, s);
    ahost__stream_own(s, h->root);
    return 1;
}
