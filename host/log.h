/*
 * log.h - log records: levels by the names of loggers, and where records go.
 *
 * Names have parts separated by dots and inherit the level of what is above
 * them; the name "" is above all. A record that passes goes to the captures
 * that are open, and to the log function of the program.
 */
#ifndef AHOST_LOG_H
#define AHOST_LOG_H

#include <lua.h>
#include "host.h"

/* ---- levels: log_levels.c ----------------------------------------------- */

/* The lowest level of records of a logger. */
int ahost__log_level(const ahost *h, const char *logger);

/* Whether records go anywhere at all. */
int ahost__log_heard(const ahost *h);

/* Whether a record of that level has anywhere to go. */
int ahost__log_wants(const ahost *h, const char *logger, int level);

/* Sets the level of a name and what is below it; 0: what is above it decides
 * again. False when memory is short. */
int ahost__log_set_level(ahost *h, const char *logger, int level);

/* "info": the name of the level, or of the next one below it. */
const char *ahost__log_level_name(int level);

/* Notes that a record of that level has been written. */
void ahost__log_count(ahost *h, int level);

/* Pushes {critical=, error=, ...}: how many records have been written. */
void ahost__log_push_counts(lua_State *L, const ahost *h);

/* The level named by the argument at `arg`. */
int ahost__check_log_level(lua_State *L, int arg);

void ahost__log_levels_free(ahost *h);

/* ---- records ------------------------------------------------------------ */

/* One record, complete. */
typedef struct ahost__log_record {
    int level;
    const char *logger;
    const char *text;
    size_t data_size; /* of the structured data in front of the text */
    const char *json; /* the data as a JSON object, or NULL */
    double time;      /* seconds since the epoch; 0: now */
} ahost__log_record;

/* Hands a record of C code to the captures and on. */
void ahost__log_write(ahost *h, const ahost__log_record *record);

/* Finds a format at index `first` and its arguments above. Pushes the text of
 * the record, its message alone, and its data or nil. Returns the size of the
 * data in front of the text. */
size_t ahost__push_log_text(lua_State *L, int first);

/* Replaces the table on the top by a JSON object. */
void ahost__log_push_json(lua_State *L);

/* ---- where they go: log_route.c ----------------------------------------- */

typedef struct ahost__log_sink ahost__log_sink;
typedef struct ahost__log_route ahost__log_route;

/* Hands a record on: to the sinks of its logger, when there are any at all,
 * else to the function of the program. */
void ahost__log_deliver(ahost *h, const ahost__log_record *record);

/* Where records of a logger and those below it go. */
struct ahost__log_route {
    ahost__log_route *next;
    int propagates; /* to what is above it, too */
    int count;
    ahost__log_sink **sinks; /* of the host */
    char *name;
};

/* Replaces all sinks and routes by `count` sinks, which are taken over, and a
 * list of malloc'ed routes; none: records go to the program. What the old sinks
 * hold is written in their own time. 0 or a code: then nothing has changed. */
int ahost__log_install(ahost *h, ahost__log_sink **sinks, int count,
                       ahost__log_route *routes);

void ahost__log_route_free(ahost__log_route *route);

/* Whether a sink wants the data of records as JSON. */
int ahost__log_wants_json(const ahost *h);

/* Files are moved to their backups, or opened again when that is done. */
void ahost__log_rotate(ahost *h);

/* -> an array of what the sinks have done: {name=, queued=, dropped=} */
int ahost__log_push_stats(lua_State *L);

/* The loop is going to end: what sinks report now waits for the end. */
void ahost__log_detach(ahost *h);

/* Writes what can be written in `seconds` and frees everything. */
void ahost__log_close(ahost *h, double seconds);

/* ---- captures: log_capture.c -------------------------------------------- */

/* Both return whether the record is to go to the program as well. The first
 * makes no Lua values; the second finds text, message and data on the top. */
int ahost__capture_text(ahost *h, const ahost__log_record *record);
int ahost__capture_values(lua_State *L, const ahost__log_record *record);

/* log.capture */
int ahost__log_capture(lua_State *L);

void ahost__open_log_text(lua_State *L);
void ahost__open_captures(lua_State *L);
int ahost__open_log(lua_State *L);
int ahost__open_log_sinks(lua_State *L);

#endif
