/*
 * tls_engine.h - what the host wants of a TLS library: plain C functions on
 * buffers, which a loadable module hands over (components/tls).
 *
 * An engine knows neither Lua nor libuv, and waits for nothing. It takes the
 * ciphertext that has arrived from one buffer and leaves the ciphertext to be
 * sent in another; the host does the rest.
 */
#ifndef AHOST_TLS_ENGINE_H
#define AHOST_TLS_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Grows with each change of what stands here. */
enum { AHOST__TLS_ENGINE_VERSION = 1 };

/* The least free room for output that a call with plaintext needs: one record
 * with all that TLS adds to it. */
enum { AHOST__TLS_RECORD = 16384 + 512 };

typedef enum ahost__tls_status {
    AHOST__TLS_DONE,
    AHOST__TLS_MORE,  /* more input is needed */
    AHOST__TLS_FULL,  /* send the output, then call again */
    AHOST__TLS_ENDED, /* the peer has said that it sends no more */
    AHOST__TLS_FAILED
} ahost__tls_status;

/* Buffers during a call: the engine advances `in` and adds to `out`. */
typedef struct ahost__tls_io {
    const char *in;
    size_t in_size;
    char *out;
    size_t out_size, out_capacity;
} ahost__tls_io;

typedef struct ahost__tls_failure {
    int is_certificate; /* it is about the certificate of the peer */
    char reason[32];    /* one word for programs: "expired", "version"... */
    char text[512];     /* a sentence for people */
} ahost__tls_failure;

/* A certificate with its chain, and its key; in PEM. */
typedef struct ahost__tls_identity {
    const char *host; /* that it is for: "a.org", "*.a.org"; NULL: for all */
    const char *certificate, *key;
    const char *password;                    /* of the key, or NULL */
    const char *certificate_name, *key_name; /* for messages */
} ahost__tls_identity;

typedef enum ahost__tls_verify {
    AHOST__TLS_VERIFY_NONE,
    AHOST__TLS_VERIFY_OPTIONAL, /* servers only: whatever is shown is checked */
    AHOST__TLS_VERIFY_REQUIRED
} ahost__tls_verify;

/* What many connections have in common. */
typedef struct ahost__tls_settings {
    int is_server;
    ahost__tls_verify verify;
    const char *authorities;      /* PEM, or NULL: those of the system */
    const char *authorities_name; /* for messages */
    int min_version, max_version; /* 10 to 13: TLS 1.0 to 1.3 */
    const char *ciphers;          /* of TLS 1.2 and older, or NULL */
    const char *protocols;        /* of ALPN, each behind a byte of its size */
    size_t protocols_size;
    const ahost__tls_identity *identities; /* the first one is the default */
    size_t identity_count;
} ahost__tls_settings;

typedef struct ahost__tls_start {
    const char *hostname; /* the server's, or its IP address; NULL: unknown */
    int is_address;
    const char *session; /* of a former connection, or NULL */
    size_t session_size;
} ahost__tls_start;

typedef struct ahost__tls_description {
    char version[16], cipher[64], protocol[256];
    char server_name[256]; /* that the client has asked for */
    int resumed, has_peer;
    char subject[512], issuer[512];
    char names[1024]; /* one a line */
    char fingerprint[65];
    int64_t not_before, not_after; /* seconds since 1970 */
} ahost__tls_description;

typedef struct ahost__tls_engine {
    uint32_t version;
    const char *library; /* "OpenSSL 3.0.19 27 Jan 2026" */

    /* Settings made ready for use, or NULL; the failure says why. Connections
     * outlive them. */
    void *(*context_new)(const ahost__tls_settings *settings,
                         ahost__tls_failure *failure);
    void (*context_free)(void *context);

    void *(*connection_new)(void *context, const ahost__tls_start *start);
    void (*connection_free)(void *connection);

    /* Goes on with the handshake: DONE, MORE, FULL or FAILED. What is in the
     * output then is to be sent even so: it tells the peer why. */
    ahost__tls_status (*handshake)(void *connection, ahost__tls_io *io,
                                   ahost__tls_failure *failure);
    /* Adds to the `*size` bytes of plaintext at `data`: DONE when there is no
     * more room in it, else as above, or ENDED. */
    ahost__tls_status (*read)(void *connection, ahost__tls_io *io, char *data,
                              size_t capacity, size_t *size,
                              ahost__tls_failure *failure);
    /* Turns plaintext, all that the room for output is enough for, into
     * ciphertext; `*taken` is how much: DONE or FAILED. */
    ahost__tls_status (*write)(void *connection, ahost__tls_io *io,
                               const char *data, size_t size, size_t *taken,
                               ahost__tls_failure *failure);
    /* Says that nothing more will be sent. Not during the handshake. */
    void (*end)(void *connection, ahost__tls_io *io);

    void (*describe)(void *connection, ahost__tls_description *description);
    /* The session, for `start.session`; returns its size, or 0 when there is
     * none or more than `capacity` bytes of it. */
    size_t (*session)(void *connection, char *data, size_t capacity);
} ahost__tls_engine;

#endif
