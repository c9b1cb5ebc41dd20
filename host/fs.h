/*
 * fs.h - files: operations that block, done in threads of their own.
 *
 * An operation of a task is a request: its arguments are copied, a thread works
 * on it, and its results are pushed in the task. A request is malloc's memory,
 * so that one that nobody waits for any more, even one that outlives its host,
 * is freed by the thread or by the loop, whichever is last to have it.
 */
#ifndef AHOST_FS_H
#define AHOST_FS_H

#include <lua.h>
#include <stdint.h>
#include <sys/stat.h>

#include "host.h"
#include "pool.h"

/* ---- memory ------------------------------------------------------------- */

/* The threads of a host and the memory that their requests may take: counted
 * apart, as threads allocate it, and bounded by what the host has left. */
typedef struct ahost__fs {
    ahost__pool *pool; /* the host's alone */
    int references;    /* atomic: the host, requests and files */
    size_t used, room; /* atomic: bytes */
} ahost__fs;

/* Makes it on the first use; NULL for want of memory. */
ahost__fs *ahost__fs_of(ahost *h);

void ahost__fs_ref(ahost__fs *fs);
void ahost__fs_unref(ahost__fs *fs);

/* The host has ended: no task runs any more, and requests that are under way
 * belong to their threads. Before ahost__pools_end. */
void ahost__fs_close(ahost *h);

/* Bytes that grow: in threads and in the loop alike. */
typedef struct ahost__bytes {
    char *data;
    size_t size, capacity;
} ahost__bytes;

/* Room for `more` bytes after those that are there; 0 or UV_ENOMEM. */
int ahost__bytes_reserve(ahost__fs *fs, ahost__bytes *bytes, size_t more);
void ahost__bytes_free(ahost__fs *fs, ahost__bytes *bytes);

/* ---- requests ----------------------------------------------------------- */

typedef struct ahost__file ahost__file;
typedef struct ahost__request ahost__request;

typedef struct ahost__request_type {
    ahost__wait_type wait; /* AHOST__REQUEST("stat") */
    /* In a thread: 0 or a code. To look at ahost__given_up now and then. */
    int (*run)(ahost__request *r);
    /* In the task, when `status` is 0: pushes the results, and returns their
     * number. NULL: true. */
    int (*push)(lua_State *L, ahost__request *r);
    /* Takes back what `run` did for somebody who has gone. Anywhere; NULL when
     * there is nothing. */
    void (*undo)(ahost__request *r);
    /* In the task: pushes nil and an error for `status`. NULL: the usual. */
    int (*fail)(lua_State *L, ahost__request *r);
    /* In the loop, when `run` has returned and before anybody is told, or when
     * it will not run. NULL: nothing is to be done. */
    void (*ended)(ahost__request *r);
} ahost__request_type;

struct ahost__request {
    ahost__work work;
    const ahost__request_type *type;
    ahost__fs *fs;
    ahost *host;          /* for the loop */
    ahost__wait *wait;    /* NULL when nobody waits */
    ahost__request **box; /* the userdata that frees it, or NULL */
    ahost__link boxed;    /* among the host's that have one */
    ahost__link link;     /* among those that wait for their turn with a file */
    int submitted;        /* a thread has it, or will */
    int ran;              /* a thread has had it */
    int given_up;         /* atomic: nobody waits for the result */
    int status;

    /* arguments and results, as the type has them */
    char *path, *target; /* or NULL */
    int flags, kind;
    mode_t mode;
    int64_t offset;
    size_t limit, count;
    ahost__bytes data;
    struct stat info;
    ahost__file *file; /* counted */
};

int ahost__request_finish(lua_State *L, ahost__wait *w);
void ahost__request_cancel(ahost__wait *w);

#define AHOST__REQUEST(what)                                                   \
    { what, ahost__request_finish, ahost__request_cancel, 0 }

/* Pushes the box of a new request; `path` and `target` (NULL: none) are copied.
 * Raises when memory is short. */
ahost__request *ahost__request_new(lua_State *L,
                                   const ahost__request_type *type,
                                   const char *path, const char *target);

/* One without a box or a waiter, or NULL. */
ahost__request *ahost__request_plain(ahost *h, const ahost__request_type *type,
                                     const char *path);

/* Hands it to the threads; 0 or a code. */
int ahost__request_submit(ahost__request *r);

/* Submits it and waits: `return ahost__request_await(L, r);` */
int ahost__request_await(lua_State *L, ahost__request *r);

/* Makes a wait that has begun the request's. */
void ahost__request_waits(ahost__request *r, ahost__wait *w);

/* Ends its wait, when there is one, with a code. */
void ahost__request_give_up(ahost__request *r, int status);

/* Nobody wants it any more: to be called when it is not under way. */
void ahost__request_free(ahost__request *r);

/* For threads: whether they may stop half-way. */
int ahost__given_up(const ahost__request *r);

/* ---- files: fs_file.c --------------------------------------------------- */

/* In any thread: the last one closes the descriptor. */
void ahost__file_unref(ahost__file *file);

/* ---- arguments ---------------------------------------------------------- */

/* A path at `arg`; raises for text that cannot be one. */
const char *ahost__check_path(lua_State *L, int arg);

/* Field `name` of the options at `arg` (none or nil: the fallback): a number of
 * permission bits, or their octal digits as a string. */
mode_t ahost__opt_mode(lua_State *L, int arg, const char *name,
                       mode_t fallback);

/* The same for a value at `arg`. */
mode_t ahost__check_mode(lua_State *L, int arg);

int ahost__opt_boolean(lua_State *L, int arg, const char *name);

/* Raises for an option at `arg`, the last argument, that is none of `names`
 * (NULL at the end). What is above goes. */
void ahost__check_options(lua_State *L, int arg, const char *const *names);

/* Copies the strings, and arrays of strings, at `first` and above into the
 * request. Raises for anything else. */
void ahost__collect_data(lua_State *L, ahost__request *r, int first, int last);

/* Pushes the table of fs.stat. */
int ahost__push_stat(lua_State *L, ahost__request *r);

/* ---- what threads do ---------------------------------------------------- */

/* Writes all; 0 or a code, ECANCELED when it was given up. */
int ahost__write_all(const ahost__request *r, int fd, const char *data,
                     size_t size);

/* Closes a descriptor after something came to `err`: that, or the failure of
 * the close. */
int ahost__close_after(int fd, int err);

/* Removes a file, or a directory with all that is in it. */
int ahost__remove_tree(ahost__request *r, const char *path);

/* Makes a directory and those above it. */
int ahost__make_directories(const char *path, mode_t mode);

/* ---- functions of the module -------------------------------------------- */

void ahost__open_fs_paths(lua_State *L);
void ahost__open_fs_contents(lua_State *L);
void ahost__open_fs_files(lua_State *L);
void ahost__open_fs_watch(lua_State *L);
int ahost__open_fs(lua_State *L);

#endif
