/*
 * memory.c - counted and bounded memory.
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

void *ahost__alloc(ahost *h, size_t size) {
    void *block = over_limit(h, size) ? NULL : calloc(1, size);
    if (block != NULL)
        h->memory += size;
    return block;
}

void *ahost__resize(ahost *h, void *block, size_t old_size, size_t new_size) {
    void *moved;
    if (new_size > old_size && over_limit(h, new_size - old_size))
        return NULL;
    moved = realloc(block, new_size);
    if (moved != NULL)
        h->memory += new_size - old_size;
    return moved;
}

void ahost__free(ahost *h, void *block, size_t size) {
    if (block == NULL)
        return;
    h->memory -= size;
    free(block);
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
