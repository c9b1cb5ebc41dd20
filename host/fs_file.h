/*
 * fs_file.h - open files: what their parts share.
 */
#ifndef AHOST_FS_FILE_H
#define AHOST_FS_FILE_H

#include "fs_io.h"

/* A file is malloc's memory with references: the userdata and each request
 * have one, in the loop or in a thread, and the last closes the descriptor.
 *
 * Requests that move the position take turns; those with a position of their
 * own run beside them. Closing waits for all that threads are at. */
struct ahost__file {
    int references; /* atomic */
    ahost__fs *fs;
    /* a thread's while a request in turn is under way */
    int fd;
    struct stat info; /* as it was opened */
    ahost__bytes in;  /* what has been read ahead, from `start` on */
    size_t start;

    /* the loop's */
    ahost *host;
    ahost__owned owned;
    char *path;
    ahost__link waiting;     /* requests, for their turn */
    ahost__link under_way;   /* requests that threads have */
    ahost__request *active;  /* the one in turn */
    ahost__link closers;     /* waits for the end of closing */
    ahost__request *closing; /* to be submitted; NULL: none, or it is */
    int closes, close_begun, closed, close_status;
};

/* The open file at index 1; raises for anything else. */
ahost__file *ahost__check_file(lua_State *L);

/* Pushes the box of a new request of a file. */
ahost__request *ahost__file_request(lua_State *L, ahost__file *file,
                                    const ahost__request_type *type);

/* Whether a request would have its turn at once. */
int ahost__file_is_idle(const ahost__file *file);

/* Waits for the request in its turn, or beside the others. */
int ahost__file_await(lua_State *L, ahost__request *r);
int ahost__file_await_beside(lua_State *L, ahost__request *r);

/* `ended` and `fail` of all types of a file's requests. */
void ahost__file_request_ended(ahost__request *r);
int ahost__file_request_failed(lua_State *L, ahost__request *r);

/* nil and code CLOSED. */
int ahost__file_is_closed(lua_State *L, const ahost__file *file,
                          const char *what);

/* In a thread: goes back to the place up to which has been given out. */
int ahost__file_drop_input(ahost__file *file);

/* Add their methods to the table on the top. */
void ahost__open_file_input(lua_State *L);
void ahost__open_file_output(lua_State *L);

#endif
