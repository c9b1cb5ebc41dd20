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
} ahost__log_record;

/* Hands a record of C code to the captures and the program. */
void ahost__log_write(ahost *h, const ahost__log_record *record);

/* Finds a format at index `first` and its arguments above. Pushes the text of
 * the record, its message alone, and its data or nil. */
void ahost__push_log_text(lua_State *L, int first);

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

#endif
