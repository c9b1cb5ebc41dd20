#ifndef AHOST_STREAM_H
#define AHOST_STREAM_H
#include "host.h"
static inline int ahost__streams_open(ahost *h) {
    (void)h;
    return 0;
}
static inline void ahost__streams_free(ahost *h) {
    (void)h;
}
#endif
