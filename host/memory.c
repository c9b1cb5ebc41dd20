/*
 * memory.c - counted and bounded memory.
 *
 * Small blocks come from slabs, others from malloc(). Sanitized builds take all
 * from malloc(), so that the sanitizer sees each block.
 */
#include "memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

enum { FINISHING_RESERVE = 65536 };

/* What ends the host may take a little more than what ran in it. */
static int over_limit(ahost *h, size_t more) {
    size_t limit = h->memory_limit;
    if (limit != 0 && h->finishing)
        limit += limit / 8 + FINISHING_RESERVE;
#ifdef AHOST_CHECKS
    if (h->refuse_after > 0 && --h->refuse_after < h->refusals)
        return 1;
#endif
    return limit != 0 && (more > limit || h->memory > limit - more);
}

#ifdef AHOST_PLAIN_MALLOC
static int is_small(size_t size) {
    (void)size;
    return 0;
}
#else
static int is_small(size_t size) {
    return size - 1 < AHOST__SLAB_LARGEST; /* 0 is none of them */
}
#endif

void ahost__memory_open(ahost *h) {
    ahost__slabs_open(&h->slabs);
}

void ahost__memory_close(ahost *h) {
    ahost__slabs_close(&h->slabs);
}

static void *take(ahost *h, size_t size) {
    return is_small(size) ? ahost__slabs_take(&h->slabs, size) : malloc(size);
}

static void give(ahost *h, void *block, size_t size) {
    if (is_small(size))
        ahost__slabs_give(&h->slabs, block, size);
    else
        free(block);
}

void *ahost__alloc(ahost *h, size_t size) {
    void *block = NULL;
    if (over_limit(h, size))
        return NULL;
    if (!is_small(size))
        block = calloc(1, size);
    else if ((block = ahost__slabs_take(&h->slabs, size)) != NULL)
        memset(block, 0, size);
    if (block != NULL)
        h->memory += size;
    return block;
}

/* Like realloc() of a block that is there. */
static void *move(ahost *h, void *block, size_t old_size, size_t new_size) {
    void *moved;
    if (!is_small(old_size) && !is_small(new_size))
        return realloc(block, new_size);
    if (is_small(old_size) && is_small(new_size) &&
        ahost__slabs_same_class(old_size, new_size))
        return block;
    moved = take(h, new_size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, old_size < new_size ? old_size : new_size);
    give(h, block, old_size);
    return moved;
}

void *ahost__resize(ahost *h, void *block, size_t old_size, size_t new_size) {
    void *moved;
    if (new_size > old_size && over_limit(h, new_size - old_size))
        return NULL;
    moved =
        block == NULL ? take(h, new_size) : move(h, block, old_size, new_size);
    if (moved != NULL)
        h->memory += new_size - old_size;
    return moved;
}

void ahost__free(ahost *h, void *block, size_t size) {
    if (block == NULL)
        return;
    h->memory -= size;
    give(h, block, size);
}

void *ahost__lua_alloc(void *ud, void *block, size_t old_size,
                       size_t new_size) {
    ahost *h = ud;
    if (block == NULL)
        old_size = 0; /* it held the type of the new object */
    if (new_size == 0) {
        ahost__free(h, block, old_size);
        return NULL;
    }
#ifdef AHOST_CHECKS
    /* Rule 4: a libuv callback must not make Lua objects. */
    assert(new_size <= old_size || h->lua_allowed);
#endif
    if (__atomic_load_n(&h->runs.attention, __ATOMIC_RELAXED))
        ahost__attend(h);
    return ahost__resize(h, block, old_size, new_size);
}
