/*
 * subprocess_files.c - which descriptors a child process does not inherit.
 *
 * Ours are closed by exec, but those of Lua's files and of other code in the
 * process may not be, and libuv leaves them to the child. So they are marked
 * while it is started, and get their flags back after it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "subprocess.h"

/* 0 or a code. */
static int hide(ahost *h, ahost__hidden *hidden, int fd) {
    int flags = fcntl(fd, F_GETFD);
    if (flags == -1 || (flags & FD_CLOEXEC))
        return 0;
    if (hidden->count == hidden->capacity) {
        size_t capacity = hidden->capacity > 0 ? 2 * hidden->capacity : 16;
        int *fds =
            ahost__resize(h, hidden->fds, hidden->capacity * sizeof(*fds),
                          capacity * sizeof(*fds));
        if (fds == NULL)
            return UV_ENOMEM;
        hidden->fds = fds;
        hidden->capacity = capacity;
    }
    hidden->fds[hidden->count++] = fd;
    fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    return 0;
}

/* Where /proc is not mounted nothing is hidden. */
int ahost__hide_descriptors(ahost *h, ahost__hidden *hidden) {
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    int err = 0;
    *hidden = (ahost__hidden){0};
    while (directory != NULL && err == 0 &&
           (entry = readdir(directory)) != NULL) {
        int fd = atoi(entry->d_name);
        if (fd > 2)
            err = hide(h, hidden, fd);
    }
    if (directory != NULL)
        closedir(directory);
    if (err != 0)
        ahost__unhide_descriptors(h, hidden);
    return err;
}

void ahost__unhide_descriptors(ahost *h, ahost__hidden *hidden) {
    for (size_t i = 0; i < hidden->count; i++) {
        int flags = fcntl(hidden->fds[i], F_GETFD);
        if (flags != -1)
            fcntl(hidden->fds[i], F_SETFD, flags & ~FD_CLOEXEC);
    }
    ahost__free(h, hidden->fds, hidden->capacity * sizeof(*hidden->fds));
}
