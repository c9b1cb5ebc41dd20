/*
 * fs_io.h - reading and writing descriptors in threads.
 *
 * What is no regular file may block for ever: such a descriptor is polled, and
 * now and then it is looked whether anybody still waits.
 */
#ifndef AHOST_FS_IO_H
#define AHOST_FS_IO_H

#include <sys/types.h>

#include "fs.h"

/* Opens a file that is no directory: a descriptor or a code. `r->info` is set
 * to what it is. */
int ahost__open_for(ahost__request *r, const char *path, int flags,
                    mode_t mode);

/* Reads what there is, once: a number of bytes, 0 at the end, or a code. */
ssize_t ahost__read_some(const ahost__request *r, int fd,
                         const struct stat *info, char *data, size_t size);

#endif
