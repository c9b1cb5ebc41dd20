/*
 * embedded.h - the Lua half of the host as data.
 *
 * The build generates the table from lua/ and components/ (see embed.cmake),
 * sorted by name as strcmp() sorts. A source is followed by a '\0' that `size`
 * does not count.
 */
#ifndef AHOST_EMBEDDED_H
#define AHOST_EMBEDDED_H

#include <stddef.h>

/* One embedded Lua file. */
typedef struct ahost__embedded {
    const char *name;   /* what require() calls it: "ahost.task" */
    const char *path;   /* for tracebacks: "lua/ahost/task.lua" */
    const char *source; /* the file, byte for byte */
    size_t size;
} ahost__embedded;

extern const ahost__embedded ahost__embedded_files[];
extern const size_t ahost__embedded_count;

#endif
