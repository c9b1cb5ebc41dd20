/*
 * journal.h - files of records that are appended and survive a crash: what
 * persistent dictionaries are made of.
 *
 * A journal is a header and records. A record is complete or not there: its
 * check sum covers its length and bytes, and begins with a random number of the
 * file, so that no record is mistaken for another's inside the data of one.
 * What is unreadable at the end is an append that was cut off; what is
 * unreadable with records behind it is damage.
 */
#ifndef AHOST_JOURNAL_H
#define AHOST_JOURNAL_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the file: journal_file.c ------------------------------------------- */

/* Everything here blocks, and belongs to one thread at a time. Results are 0 or
 * a negative code; the memory is malloc's. */
typedef struct ahost__journal_file {
    int fd, lock, directory; /* -1 while not open */
    char *name;              /* in the directory */
    uint32_t salt;
    uint64_t size;
    long holder;   /* process that holds the lock; 0: not known */
    uint64_t torn; /* bytes of an append that was cut off, and are cut */
    uint64_t damaged_at, damaged; /* the first place, bytes in all */
} ahost__journal_file;

enum {
    AHOST__JOURNAL_LOCKED = -9201,
    AHOST__JOURNAL_FOREIGN = -9202, /* not a file of ours */
    AHOST__JOURNAL_DAMAGED = -9203
};

/* The bytes of records: for each the length, 4 bytes, and its contents. */
typedef struct ahost__journal_data {
    char *bytes;
    size_t size;
} ahost__journal_data;

/* Opens or creates the file, alone. `data` is set to the records that there
 * are. With `salvage` a damaged file is moved to NAME.damaged, and what is
 * readable of it takes its place. To be closed also after a failure. */
int ahost__journal_file_open(ahost__journal_file *file, const char *path,
                             int salvage, ahost__journal_data *data);

/* Appends the records of `data`. After a failure the file is as it was; *broken
 * is set when that cannot be had. */
int ahost__journal_file_append(ahost__journal_file *file,
                               const ahost__journal_data *data, int *broken);

int ahost__journal_file_sync(const ahost__journal_file *file);

/* Replaces the contents by the records of `data`, all or nothing. */
int ahost__journal_file_rewrite(ahost__journal_file *file,
                                const ahost__journal_data *data);

void ahost__journal_file_close(ahost__journal_file *file);

/* ---- for Lua: journal.c and plain.c ------------------------------------- */

int ahost__plain_encode(lua_State *L);
int ahost__plain_decode(lua_State *L);
int ahost__open_pdict_file(lua_State *L);

#endif
