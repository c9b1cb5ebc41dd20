/*
 * fs_tree.c - trees of directories: made from the top, removed from the bottom.
 *
 * Removing follows no symbolic link and is not led astray by who exchanges
 * directories meanwhile: everything is named relative to an open directory, and
 * the way back up must lead to where the way down began. One directory is open
 * at a time, so that the depth does not matter.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs.h"

/* ---- removing ----------------------------------------------------------- */

/* A directory above the one that is being emptied. */
typedef struct level {
    struct level *up;
    dev_t device;
    ino_t inode;
    char name[]; /* of the next one down, in it */
} level;

typedef struct descent {
    const ahost__request *request;
    level *levels; /* innermost first */
    int fd;        /* of the directory that is being emptied */
} descent;

static int open_directory(int at, const char *name) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int descend(descent *d, const char *name) {
    size_t length = strlen(name);
    level *here = malloc(sizeof(*here) + length + 1);
    struct stat info;
    int fd;
    if (here == NULL)
        return UV_ENOMEM;
    fd = fstat(d->fd, &info) != 0 ? -errno : open_directory(d->fd, name);
    if (fd < 0) {
        free(here);
        return fd;
    }
    here->device = info.st_dev;
    here->inode = info.st_ino;
    memcpy(here->name, name, length + 1);
    here->up = d->levels;
    d->levels = here;
    close(d->fd);
    d->fd = fd;
    return 0;
}

static int is_same(int fd, const level *expected) {
    struct stat info;
    return fstat(fd, &info) == 0 && info.st_dev == expected->device &&
           info.st_ino == expected->inode;
}

/* Goes up from an empty directory and removes it. */
static int ascend(descent *d) {
    level *up = d->levels;
    int fd = open_directory(d->fd, ".."), err = 0;
    if (fd < 0)
        return fd;
    close(d->fd);
    d->fd = fd;
    d->levels = up->up;
    if (!is_same(fd, up))
        err = UV_EAGAIN; /* somebody has moved it */
    else if (unlinkat(fd, up->name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        err = -errno;
    free(up);
    return err;
}

static int is_dot(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes an entry, or goes down into it: 1 when it has. */
static int remove_entry(descent *d, const struct dirent *entry) {
    int err;
    if (entry->d_type != DT_DIR) {
        if (unlinkat(d->fd, entry->d_name, 0) == 0 || errno == ENOENT)
            return 0;
        if (errno != EISDIR && errno != EPERM)
            return -errno;
        err = -errno;
        if (entry->d_type != DT_UNKNOWN && err != UV_EISDIR)
            return err;
    }
    err = descend(d, entry->d_name);
    return err == 0 ? 1 : err == UV_ENOENT ? 0 : err;
}

/* Removes what is in the directory, until it is empty, 0, or the way leads
 * down, 1. */
static int empty(descent *d) {
    int fd = open_directory(d->fd, "."), found, result = 0;
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (directory == NULL)
        return fd < 0 ? fd : ahost__close_after(fd, UV_ENOMEM);
    do {
        found = 0;
        rewinddir(directory);
        for (errno = 0; result == 0; errno = 0) {
            entry = readdir(directory);
            if (entry == NULL)
                break;
            if (is_dot(entry->d_name))
                continue;
            found = 1;
            result = ahost__given_up(d->request) ? UV_ECANCELED
                                                 : remove_entry(d, entry);
        }
        if (result == 0 && errno != 0)
            result = -errno;
    } while (found && result == 0);
    closedir(directory);
    return result;
}

static int is_root(int fd) {
    struct stat root, info;
    return stat("/", &root) == 0 && fstat(fd, &info) == 0 &&
           root.st_dev == info.st_dev && root.st_ino == info.st_ino;
}

static int empty_all(descent *d) {
    for (;;) {
        int result = empty(d);
        if (result == 0 && d->levels == NULL)
            return 0;
        if (result == 0)
            result = ascend(d);
        if (result < 0)
            return result;
    }
}

static void free_levels(level *levels) {
    while (levels != NULL) {
        level *up = levels->up;
        free(levels);
        levels = up;
    }
}

/* What rmdir would turn down at the end is not begun. */
static int ends_in_dot(const char *path) {
    size_t length = strlen(path), start;
    while (length > 1 && path[length - 1] == '/')
        length--;
    for (start = length; start > 0 && path[start - 1] != '/'; start--)
        continue;
    return path[length - 1] == '.' &&
           (length - start == 1 || (length - start == 2 && path[start] == '.'));
}

int ahost__remove_tree(ahost__request *r, const char *path) {
    descent d = {.request = r};
    int err;
    if (ends_in_dot(path))
        return UV_EINVAL;
    d.fd = open_directory(AT_FDCWD, path);
    if (d.fd < 0)
        return d.fd;
    err = is_root(d.fd) ? UV_EBUSY : empty_all(&d);
    close(d.fd);
    free_levels(d.levels);
    if (err == 0 && rmdir(path) != 0)
        err = -errno;
    return err;
}

/* ---- making ------------------------------------------------------------- */

/* One of a chain: fine when it is there. */
static int make_directory(const char *path, mode_t mode) {
    struct stat info;
    int err;
    if (mkdir(path, mode) == 0)
        return 0;
    err = errno;
    if (stat(path, &info) == 0)
        return S_ISDIR(info.st_mode) ? 0 : -ENOTDIR;
    return -err;
}

/* Those above can be entered whatever the mode of the last one is. */
int ahost__make_directories(const char *path, mode_t mode) {
    char *copy = strdup(path), *slash = copy;
    struct stat info;
    int err = 0;
    if (copy == NULL)
        return UV_ENOMEM;
    while (*slash == '/')
        slash++;
    while (err == 0 && (slash = strchr(slash, '/')) != NULL) {
        *slash = '\0';
        err = make_directory(copy, 0777);
        *slash++ = '/';
        while (*slash == '/')
            slash++;
    }
    if (err == 0)
        err = make_directory(path, mode);
    if (err == -ENOTDIR && stat(path, &info) == 0)
        err = UV_EEXIST; /* the last one is there, as something else */
    free(copy);
    return err;
}
