/*
 * journal.c - journals off the loop: one operation at a time in libuv's
 * threads.
 *
 * What is appended while an operation is under way gathers, and goes out with
 * the next one: many tasks share one write and one sync. Records are numbered;
 * whoever waits, waits for a number. When writing fails, all that has not been
 * written is given up, and nothing is taken until Lua has been told
 * (journal:recover), so that it can take back what it has believed in.
 */
#include "journal.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "json.h"

#define JOURNAL_TYPE "ahost.pdict.journal"

enum { SYNC_ALWAYS, SYNC_INTERVAL, SYNC_NEVER };
static const char *const sync_names[] = {"always", "interval", "never", NULL};

typedef enum operation {
    NOTHING,
    OPEN,
    APPEND,
    SYNC,
    REWRITE,
    CLOSE
} operation;

typedef struct journal {
    ahost__owned owned;
    ahost *host;
    void *box; /* the userdata; NULL once collected */
    uv_work_t work;
    operation operation; /* under way; its thread has `file` and `batch` */
    ahost__journal_file file;
    ahost__journal_data batch;   /* malloc'ed: of this operation */
    ahost__journal_data loaded;  /* malloc'ed: what was in the file */
    ahost__journal_data pending; /* counted memory */
    size_t capacity;             /* of `pending` */
    char *path;                  /* until it is open */
    int status, broken;          /* of the operation */
    uint8_t policy, salvages, syncs, retries;

    int64_t appended, written, synced; /* numbers of records */
    int64_t batch_last;                /* of the operation's */
    uint64_t size;                     /* of the file */
    ahost__link writers, syncers;      /* who waits for those numbers */
    ahost__link others;                /* for the opening, a rewriting */
    ahost__link closers;
    ahost__journal_data contents; /* malloc'ed: to be rewritten */
    int rewrites;
    double interval;
    ahost__timer timer;
    int sync_wanted;
    int failure;      /* why records were given up; 0 */
    int told;         /* somebody has been told of it */
    int dead;         /* the failure that the journal cannot get over; 0 */
    int others_close; /* journals, when the operation began */
    int closes;       /* nothing more is taken */
    int closed;       /* the file is */
    int given_up;     /* counted among the host's closing journals */
} journal;

static void advance(journal *j);

/* ---- the thread --------------------------------------------------------- */

static int append(journal *j) {
    int err = ahost__journal_file_append(&j->file, &j->batch, &j->broken);
    if (err != 0 || !j->syncs)
        return err;
    err = ahost__journal_file_sync(&j->file);
    j->broken = err != 0; /* nobody knows any more what is on the disk */
    return err;
}

static int sync_only(journal *j) {
    int err = ahost__journal_file_sync(&j->file);
    j->broken = err != 0;
    return err;
}

static int open_file(journal *j) {
    if (j->retries > 0)
        usleep(2000);
    return ahost__journal_file_open(&j->file, j->path, j->salvages, &j->loaded);
}

static int close_file(journal *j) {
    int err = 0;
    if (j->file.fd >= 0 && j->syncs)
        err = ahost__journal_file_sync(&j->file);
    ahost__journal_file_close(&j->file);
    return err;
}

static int rewrite(journal *j) {
    return ahost__journal_file_rewrite(&j->file, &j->contents);
}

static void on_work(uv_work_t *work) {
    static int (*const run[])(journal *) = {NULL,      open_file, append,
                                            sync_only, rewrite,   close_file};
    journal *j = ahost__container_of(work, journal, work);
    j->status = run[j->operation](j);
}

/* ---- outcomes ----------------------------------------------------------- */

static void settle_up_to(ahost__link *waiters, int64_t number) {
    ahost__link *link = waiters->next;
    while (link != waiters) {
        ahost__wait *w = ahost__container_of(link, ahost__wait, link);
        link = link->next;
        if (w->value <= number)
            ahost__settle(w, 0);
    }
}

static void drop_data(ahost__journal_data *data) {
    free(data->bytes);
    *data = (ahost__journal_data){0};
}

static void drop_pending(journal *j) {
    ahost__free(j->host, j->pending.bytes, j->capacity);
    j->pending = (ahost__journal_data){0};
    j->capacity = 0;
}

/* All that is not written is given up. */
static void fail(journal *j, int code) {
    j->failure = code;
    j->told =
        !ahost__list_empty(&j->writers) || !ahost__list_empty(&j->syncers);
    if (j->broken)
        j->dead = code;
    drop_pending(j);
    ahost__settle_all(&j->writers, code);
    ahost__settle_all(&j->syncers, code);
}

static void written(journal *j) {
    if (j->status != 0) {
        fail(j, j->status);
        return;
    }
    j->written = j->batch_last;
    settle_up_to(&j->writers, j->written);
    if (j->syncs) {
        j->synced = j->batch_last;
        settle_up_to(&j->syncers, j->synced);
    }
}

static void ended(journal *j) {
    j->closed = 1;
    j->closes = 1;
    ahost__journal_file_close(&j->file); /* of a failed opening */
    ahost__disown(&j->owned);
    if (j->given_up)
        j->host->closing_journals--;
    j->given_up = 0;
    ahost__settle_all(&j->writers, AHOST__CLOSED);
    ahost__settle_all(&j->syncers, AHOST__CLOSED);
}

/* Another journal of this process may be about to let go of the file, or has
 * done so since; it may not even have come to write who it is. */
static int is_ours(const journal *j) {
    long holder = j->file.holder;
    return j->status == AHOST__JOURNAL_LOCKED && !j->closes &&
           (holder == 0 || holder == (long)getpid()) && j->others_close;
}

static void opened(journal *j) {
    if (is_ours(j)) {
        ahost__journal_file_close(&j->file);
        j->retries = 1;
        return; /* begins again */
    }
    j->retries = 0;
    free(j->path);
    j->path = NULL;
    if (j->status != 0)
        ended(j);
    ahost__settle_all(&j->others, j->status);
}

static void rewritten(journal *j) {
    drop_data(&j->contents);
    j->rewrites = 0;
    if (j->status == 0) {
        j->synced = j->written;
        settle_up_to(&j->syncers, j->synced);
    }
    ahost__settle_all(&j->others, j->status);
}

static void free_unused(journal *j) {
    if (j->box != NULL || j->operation != NOTHING || !j->closed)
        return;
    ahost__timer_stop(j->host, &j->timer);
    drop_pending(j);
    drop_data(&j->batch);
    drop_data(&j->loaded);
    drop_data(&j->contents);
    free(j->path);
    ahost__free(j->host, j, sizeof(*j));
}

static void closed(journal *j) {
    if (j->status == 0 && j->syncs)
        settle_up_to(&j->syncers, j->written);
    ended(j);
    ahost__settle_all(&j->closers, j->status);
}

static void on_done(uv_work_t *work, int status) {
    static void (*const done[])(journal *) = {NULL,    opened,    written,
                                              written, rewritten, closed};
    journal *j = ahost__container_of(work, journal, work);
    ahost *h = j->host;
    operation last = j->operation;
    (void)status;
    j->operation = NOTHING;
    j->size = j->file.size;
    done[last](j);
    drop_data(&j->batch);
    advance(j);
    free_unused(j);
    ahost__ready_run(h);
}

/* ---- what is next ------------------------------------------------------- */

static void begin(journal *j, operation next) {
    int err;
    j->operation = next;
    j->others_close = j->host->closing_journals > 0;
    j->batch_last = j->appended;
    j->status = j->broken = 0;
    err = uv_queue_work(j->host->loop, &j->work, on_work, on_done);
    (void)err; /* it fails for want of a function only */
}

/* Takes over what is pending; false when there is no memory for it yet. */
static int take_pending(journal *j) {
    char *bytes = malloc(j->pending.size);
    if (bytes == NULL)
        return 0;
    memcpy(bytes, j->pending.bytes, j->pending.size);
    j->batch = (ahost__journal_data){bytes, j->pending.size};
    drop_pending(j);
    return 1;
}

static void begin_to_append(journal *j) {
    if (!take_pending(j)) {
        fail(j, UV_ENOMEM);
        return;
    }
    j->syncs = j->policy == SYNC_ALWAYS || j->sync_wanted;
    j->sync_wanted = 0;
    begin(j, APPEND);
}

static void on_interval(ahost__timer *timer) {
    journal *j = ahost__container_of(timer, journal, timer);
    j->sync_wanted = 1;
    advance(j);
}

static void start_interval(journal *j) {
    if (j->policy == SYNC_INTERVAL && j->synced < j->written &&
        !ahost__timer_armed(&j->timer))
        ahost__timer_start(j->host, &j->timer, j->interval);
}

static void advance(journal *j) {
    if (j->operation != NOTHING || j->closed)
        return;
    if (j->path != NULL) {
        begin(j, OPEN);
    } else if (j->rewrites) {
        begin(j, REWRITE);
    } else if (j->pending.size > 0) {
        begin_to_append(j);
    } else if (j->closes) {
        ahost__timer_stop(j->host, &j->timer);
        j->syncs = j->policy != SYNC_NEVER && j->synced < j->written;
        begin(j, CLOSE);
    } else if (j->sync_wanted && j->synced < j->written && j->dead == 0) {
        j->sync_wanted = 0;
        j->syncs = 1;
        begin(j, SYNC);
    } else {
        start_interval(j);
    }
}

/* Nobody waits for the end: of a context, or of a box. */
static void give_up(journal *j) {
    if (!j->given_up && !j->closed) {
        j->given_up = 1;
        j->host->closing_journals++;
    }
    j->closes = 1;
    advance(j);
}

static void close_owned(ahost__owned *owned) {
    give_up(ahost__container_of(owned, journal, owned));
}

static const ahost__owned_type owned_journal = {"dictionary", 0, close_owned,
                                                0};

/* ---- Lua ---------------------------------------------------------------- */

static journal *check_journal(lua_State *L) {
    return *(journal **)luaL_checkudata(L, 1, JOURNAL_TYPE);
}

static int fail_code(lua_State *L, int code) {
    return ahost__fail(L, code, NULL);
}

static int fail_open(lua_State *L, const journal *j, int code) {
    const ahost__journal_file *file = &j->file;
    if (code == AHOST__JOURNAL_LOCKED && file->holder > 0)
        return ahost__fail_text(L, "CONFLICT", NULL, "in use by process %I",
                                (lua_Integer)file->holder);
    if (code == AHOST__JOURNAL_LOCKED)
        return ahost__fail_text(L, "CONFLICT", NULL,
                                "in use by another process");
    if (code == AHOST__JOURNAL_FOREIGN)
        return ahost__fail_text(L, "FAILED", NULL,
                                "the file is not a dictionary");
    if (code == AHOST__JOURNAL_DAMAGED)
        return ahost__fail_text(
            L, "FAILED", NULL,
            "damaged at byte %I: %I bytes are unreadable, and there are "
            "records behind them; open it with salvage = true to keep what is "
            "readable (the damaged file is kept as well)",
            (lua_Integer)file->damaged_at, (lua_Integer)file->damaged);
    return fail_code(L, code);
}

/* Stack: path, options, journal. -> journal, data, torn, damaged | nil, err */
static int finish_open(lua_State *L, ahost__wait *w) {
    journal *j = w->op;
    if (w->status != 0)
        return fail_open(L, j, w->status);
    lua_pushlstring(L, j->loaded.bytes != NULL ? j->loaded.bytes : "",
                    j->loaded.size);
    drop_data(&j->loaded);
    lua_pushinteger(L, (lua_Integer)j->file.torn);
    lua_pushinteger(L, (lua_Integer)j->file.damaged);
    return 4;
}

static void cancel_open(ahost__wait *w) {
    give_up(w->op);
}

static const ahost__wait_type open_wait = {"opening a dictionary", finish_open,
                                           cancel_open, 0};

static journal *push_journal(lua_State *L) {
    journal **box = lua_newuserdatauv(L, sizeof(*box), 0);
    ahost *h = ahost__of(L);
    journal *j = ahost__alloc(h, sizeof(*j));
    if (j == NULL)
        luaL_error(L, "not enough memory");
    j->host = h;
    j->box = *box = j;
    j->closed = 1; /* nothing is open yet */
    j->file = (ahost__journal_file){.fd = -1, .lock = -1, .directory = -1};
    j->timer.fire = on_interval;
    ahost__list_init(&j->writers);
    ahost__list_init(&j->syncers);
    ahost__list_init(&j->others);
    ahost__list_init(&j->closers);
    luaL_setmetatable(L, JOURNAL_TYPE);
    return j;
}

/* core.open(path, sync, interval, salvage) -> journal, data, torn, damaged |
 * nil, err; waits. `data` are the records, each with its length before it. */
static int core_open(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    int policy = luaL_checkoption(L, 2, "always", sync_names);
    double interval = luaL_checknumber(L, 3);
    ahost__context *ctx = ahost__context_current(L);
    journal *j;
    ahost__wait *w;
    ahost__context_check_open(L, ctx, "open a dictionary");
    j = push_journal(L);
    j->policy = (uint8_t)policy;
    j->interval = interval;
    j->salvages = (uint8_t)lua_toboolean(L, 4);
    w = ahost__wait_begin(L, &open_wait, j);
    j->path = strdup(path);
    if (j->path == NULL) {
        ahost__settle(w, UV_ENOMEM);
        return ahost__await(L, w);
    }
    j->closed = 0;
    ahost__own(ctx, &j->owned, &owned_journal);
    ahost__list_append(&j->others, &w->link);
    advance(j);
    return ahost__await(L, w);
}

static char *reserve(journal *j, size_t more) {
    size_t needed = j->pending.size + more;
    if (needed > j->capacity) {
        size_t capacity = needed * 2;
        char *bytes =
            ahost__resize(j->host, j->pending.bytes, j->capacity, capacity);
        if (bytes == NULL)
            return NULL;
        j->pending.bytes = bytes;
        j->capacity = capacity;
    }
    return j->pending.bytes + j->pending.size;
}

/* A record with its length before it. */
static void put_record(char *to, const char *contents, size_t size) {
    for (int i = 0; i < 4; i++)
        to[i] = (char)(size >> (8 * i));
    memcpy(to + 4, contents, size);
}

static const char *check_record(lua_State *L, int index, size_t *size) {
    const char *contents = luaL_checklstring(L, index, size);
    luaL_argcheck(L, *size < INT32_MAX, index, "too large for one update");
    return contents;
}

/* journal:append(record) -> its number; it must not have failed or be closed.
 * Does not wait. */
static int journal_append(lua_State *L) {
    journal *j = check_journal(L);
    size_t size;
    const char *contents = check_record(L, 2, &size);
    char *to;
    if (j->closes || j->failure != 0 || j->dead != 0)
        return luaL_error(L, "nothing can be appended");
    to = reserve(j, size + 4);
    if (to == NULL)
        return luaL_error(L, "not enough memory");
    put_record(to, contents, size);
    j->pending.size += size + 4;
    lua_pushinteger(L, ++j->appended);
    advance(j);
    return 1;
}

static int finish_plain(lua_State *L, ahost__wait *w) {
    if (w->status != 0)
        return fail_code(L, w->status);
    lua_pushboolean(L, 1);
    return 1;
}

static const ahost__wait_type write_wait = {"writing a dictionary",
                                            finish_plain, NULL, 0};

/* journal:wait(number) -> true | nil, err: until that record is written, and on
 * the disk where each is to be. */
static int journal_wait(lua_State *L) {
    journal *j = check_journal(L);
    int64_t number = luaL_checkinteger(L, 2);
    ahost__wait *w = ahost__wait_begin(L, &write_wait, j);
    w->value = number;
    if (number <= j->written)
        ahost__settle(w, 0);
    else if (j->failure != 0 || j->closed)
        ahost__settle(w, j->failure != 0 ? j->failure : AHOST__CLOSED);
    else
        ahost__list_append(&j->writers, &w->link);
    return ahost__await(L, w);
}

/* journal:flush() -> true | nil, err: until what there is is on the disk. */
static int journal_flush(lua_State *L) {
    journal *j = check_journal(L);
    ahost__wait *w = ahost__wait_begin(L, &write_wait, j);
    w->value = j->appended;
    if (j->failure != 0 || j->dead != 0)
        ahost__settle(w, j->failure != 0 ? j->failure : j->dead);
    else if (j->closed)
        ahost__settle(w, AHOST__CLOSED);
    else if (j->synced >= j->appended)
        ahost__settle(w, 0);
    else
        ahost__list_append(&j->syncers, &w->link);
    j->sync_wanted = !ahost__list_empty(&j->syncers);
    advance(j);
    return ahost__await(L, w);
}

/* Frames all strings of the table at `index`. */
static int frame_records(lua_State *L, int index, ahost__journal_data *data) {
    size_t total = 0, size;
    lua_Integer count = luaL_len(L, index);
    char *to;
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, index, i);
        check_record(L, -1, &size);
        total += size + 4;
        lua_pop(L, 1);
    }
    data->bytes = to = malloc(total + 1);
    data->size = total;
    for (lua_Integer i = 1; i <= count && to != NULL; i++) {
        const char *contents;
        lua_rawgeti(L, index, i);
        contents = lua_tolstring(L, -1, &size);
        put_record(to, contents, size);
        to += size + 4;
        lua_pop(L, 1);
    }
    return to != NULL;
}

static const ahost__wait_type rewrite_wait = {"compacting a dictionary",
                                              finish_plain, NULL, 0};

/* journal:rewrite({record, ...}) -> true | nil, err: these and what is appended
 * from now on take the place of all. Nothing must be pending. */
static int journal_rewrite(lua_State *L) {
    journal *j = check_journal(L);
    ahost__wait *w;
    luaL_checktype(L, 2, LUA_TTABLE);
    if (j->rewrites)
        return ahost__fail_text(L, "CONFLICT", NULL, "is being compacted");
    if (j->closes || j->dead != 0 || j->pending.size > 0)
        return ahost__fail_text(L, "CLOSED", NULL, "cannot be compacted now");
    if (!frame_records(L, 2, &j->contents))
        return luaL_error(L, "not enough memory");
    w = ahost__wait_begin(L, &rewrite_wait, j);
    j->rewrites = 1;
    ahost__list_append(&j->others, &w->link);
    advance(j);
    return ahost__await(L, w);
}

/* journal:state() -> bytes in the file, bytes that wait, number of the last
 * written record, whether it is closed, whether it failed */
static int journal_state(lua_State *L) {
    journal *j = check_journal(L);
    lua_pushinteger(L, (lua_Integer)j->size);
    lua_pushinteger(L, (lua_Integer)(j->pending.size + j->batch.size));
    lua_pushinteger(L, j->written);
    lua_pushboolean(L, j->closes);
    lua_pushboolean(L, j->failure != 0 || j->dead != 0);
    return 5;
}

/* journal:recover() -> whether it can go on, err, whether somebody knows: after
 * a failure, when what was not written has been taken back. */
static int journal_recover(lua_State *L) {
    journal *j = check_journal(L);
    int code = j->dead != 0 ? j->dead : j->failure;
    int told = j->told && j->failure != 0;
    j->failure = 0;
    j->appended = j->written;
    lua_pushboolean(L, j->dead == 0);
    ahost__push_error(L, code, NULL);
    lua_pushboolean(L, told);
    return 3;
}

static const ahost__wait_type close_wait = {"closing a dictionary",
                                            finish_plain, NULL, 0};

/* journal:close() -> true | nil, err */
static int journal_close(lua_State *L) {
    journal *j = check_journal(L);
    ahost__wait *w = ahost__wait_begin(L, &close_wait, j);
    j->closes = 1;
    if (j->closed)
        ahost__settle(w, 0);
    else
        ahost__list_append(&j->closers, &w->link);
    advance(j);
    return ahost__await(L, w);
}

static int journal_gc(lua_State *L) {
    journal *j = check_journal(L);
    if (j->box == NULL)
        return 0;
    j->box = NULL;
    ahost__disown(&j->owned);
    give_up(j);
    free_unused(j);
    return 0;
}

static const luaL_Reg methods[] = {
    {"append", journal_append}, {"wait", journal_wait},
    {"flush", journal_flush},   {"rewrite", journal_rewrite},
    {"state", journal_state},   {"recover", journal_recover},
    {"close", journal_close},   {NULL, NULL}};

static const luaL_Reg functions[] = {{"open", core_open},
                                     {"encode", ahost__plain_encode},
                                     {"decode", ahost__plain_decode},
                                     {NULL, NULL}};

int ahost__open_pdict_file(lua_State *L) {
    luaL_newmetatable(L, JOURNAL_TYPE);
    lua_pushcfunction(L, journal_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newmetatable(L, AHOST__JSON_ARRAY); /* for decoded arrays */
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
